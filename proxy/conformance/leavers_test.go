package conformance

// A thousand wait for the origin and nine hundred leave: hazard 37. The queue is the real
// one, in front of an origin that takes eight at a time and is in no hurry.

import (
	"bufio"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"testing"

	"penstock/proxy"
	"penstock/rules"
	"penstock/shedder"
)

const (
	coming  = 1000
	leaving = 900
	atOnce  = 8
)

const queueing = `
listen: "127.0.0.1:0"
origin:
  url: "http://ORIGIN"
  state_file: ""
  concurrency: 8
  max_concurrency: 8
  queue: {depth: 4000, max_wait: 60s}
  winners: {depth: 4000, max_wait: 60s}
  timeout: {connect: 5s, response: 60s, idle_body: 20s}
routes:
  - {name: all, match: {path: "/**"}, priority: checkout}
`

func TestThoseWhoLeftAreNotServed(t *testing.T) {
	opened := make(chan bool)
	open := sync.OnceFunc(func() { close(opened) })
	o := newOrigin(t, func(r *request) string {
		<-opened
		return echo(r)
	})
	queue := make(chan *shedder.Shedder, 1)
	g := gateway(t, queueing, o.addr, func(set *rules.Set) proxy.Gates {
		s := shedder.New(set.Origin, shedder.Outside{})
		queue <- s
		return proxy.Gates{Place: s.Places(), Slot: s.Slots()}
	})
	defer open()
	s := <-queue
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.Run(ctx) })
	defer running.Wait()
	defer cancel()

	conns := make([]net.Conn, coming)
	for i := range conns {
		conns[i] = dial(t, g.addr)
		io.WriteString(conns[i], get())
	}
	waiting := func() int { return s.Stats().Waiting[rules.Checkout] }
	eventually(t, "all to wait, eight of them at the origin", func() bool { return waiting() == coming-atOnce })
	rand.Shuffle(coming, func(i, j int) { conns[i], conns[j] = conns[j], conns[i] })
	for _, c := range conns[:leaving] {
		c.Close()
	}
	eventually(t, "those who left to wait no more", func() bool { return waiting() <= coming-leaving })
	open()
	for _, c := range conns[leaving:] {
		if a, err := readReply(bufio.NewReader(c), "GET"); err != nil || a.status != 200 {
			t.Fatalf("one who stayed got %+v, %v", a, err)
		}
	}
	g.stop()
	if n := len(o.took()); n < coming-leaving || n > coming-leaving+atOnce {
		t.Errorf("the origin has seen %d requests, want the %d of those who stayed, and at most the %d it had already", n, coming-leaving, atOnce)
	}
}
