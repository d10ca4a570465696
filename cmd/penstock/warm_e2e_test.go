package main_test

// Connections are there before the first buyer is, and a gateway says that it is ready
// when they can be had, or when it is clear that they cannot.

import (
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const aboutToOpen = `
listen: "127.0.0.1:0"
admin: {listen: "127.0.0.1:0"}
origin: {url: "http://SHOP", concurrency: 20, max_concurrency: 24, state_file: ""}
store: {embedded: {path: penstock.db}}
sales:
  - name: phone
    match: {methods: [POST], path: /buy.php}
    opens: "OPENS"
    account: [{visitor: true}]
    stock: {units: 10}
`

func TestWarmBeforeTheFirstBuyer(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var taken atomic.Int64
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			taken.Add(1)
			all.Go(func() {
				c.Read(make([]byte, 1)) // until the gateway closes it
				c.Close()
			})
		}
	})
	t.Cleanup(all.Wait)
	t.Cleanup(func() { ln.Close() })
	file := write(t, t.TempDir(), aboutToOpen, "SHOP", ln.Addr().String(), "OPENS", time.Now().Add(40*time.Second).Format(time.RFC3339))
	startGateway(t, file)
	eventually(t, "as many connections as the shop may be given requests", func() bool { return taken.Load() >= 20 })
}

func TestReadyWithoutAShop(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close() // nobody listens there
	file := write(t, t.TempDir(), aboutToOpen, "SHOP", ln.Addr().String(), "OPENS", time.Now().Add(time.Hour).Format(time.RFC3339))
	g := &gateway{process: start(t, penstock, "run", "-config", file)}
	at := g.says(t, `"msg":"listening".*"proxy":"([^"]+)".*"admin":"([^"]+)"`)
	g.proxy, g.admin = at[1], at[2]
	if status, body := fetch(t, "http://"+g.admin+"/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "no connection to the shop yet") {
		t.Errorf("got %d, %s; want red for want of the shop", status, body)
	}
	eventually(t, "readiness without the shop", func() bool { return g.ready(t) })
}
