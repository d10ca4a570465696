package main_test

// The load generator: a crowd of buyers, known beforehand to the byte, that arrives as
// fast as the machine lets it.

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// visit is one request of one buyer.
type visit struct {
	account string
	address string // as the proxy in front saw it
	html    bool   // the buyer looks at it with a browser
}

func (v *visit) bytes() []byte {
	accept := "Accept: */*"
	if v.html {
		accept = "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"
	}
	return request("POST", "/buy.php", "qty=1", "X-Account: "+v.account, "X-Forwarded-For: "+v.address, accept)
}

// heard is a visit and what came of it.
type heard struct {
	visit
	*reply // nil: err says why
	err    error
}

// buyers makes one visit for each of n accounts and more for the first of them, in an
// order that is the same every time. One account in ten shares an address with
// hundreds, as in an office; one in four uses a browser.
func buyers(prefix string, n, offenders, repeats int) []visit {
	visits := make([]visit, 0, n+offenders*repeats)
	add := func(i int) {
		v := visit{account: fmt.Sprintf("%s-%d", prefix, i), address: fmt.Sprintf("198.18.%d.%d", i/250, i%250), html: i%4 == 0}
		if i%10 == 0 {
			v.address = fmt.Sprintf("203.0.113.%d", i/10%8)
		}
		visits = append(visits, v)
	}
	for i := range n {
		add(i)
	}
	for i := range offenders {
		for range repeats {
			add(i)
		}
	}
	rand.New(rand.NewPCG(1, uint64(n))).Shuffle(len(visits), func(i, j int) { visits[i], visits[j] = visits[j], visits[i] })
	return visits
}

// arrival is a crowd's visits and what they cost.
type arrival struct {
	heard []heard
	dials int
	took  time.Duration
}

// arrive makes the visits over that many connections, all of them open before the
// first request. stop ends it early; nil does not.
func arrive(t *testing.T, addr string, conns int, visits []visit, stop <-chan struct{}) arrival {
	t.Helper()
	clients := make([]client, conns)
	for i := range clients {
		clients[i].addr = addr
		defer clients[i].close()
		if err := clients[i].dial(); err != nil {
			t.Errorf("connection %d of the crowd: %v", i+1, err)
			return arrival{}
		}
	}
	a := arrival{heard: make([]heard, len(visits))}
	requests := make([][]byte, len(visits))
	for i := range visits {
		a.heard[i].visit, requests[i] = visits[i], visits[i].bytes()
	}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			for v := i; v < len(visits) && !closed(stop); v += conns {
				a.heard[v].reply, a.heard[v].err = clients[i].do(requests[v])
			}
		})
	}
	wg.Wait()
	a.took = time.Since(began)
	for i := range clients {
		a.dials += clients[i].dials
	}
	return a
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// tally asserts that every visit was answered, and every refusal well formed, and
// counts the answers by reason.
func (a *arrival) tally(t *testing.T) map[string]int {
	t.Helper()
	counts, wrong := map[string]int{}, 0
	complain := func(h *heard, err error) {
		if wrong++; wrong <= 10 {
			t.Errorf("%s from %s: %v", h.account, h.address, err)
		}
	}
	for i := range a.heard {
		h := &a.heard[i]
		if h.err != nil {
			complain(h, h.err)
			continue
		}
		counts[h.reason()]++
		if h.reason() == "admitted" {
			continue
		}
		if err := h.check(h.html); err != nil {
			complain(h, fmt.Errorf("%s: %w", h.reason(), err))
		}
	}
	if wrong > 10 {
		t.Errorf("and %d more", wrong-10)
	}
	return counts
}

// winners are the accounts that were served by the shop; sold says which answer of
// the shop is a sale.
func (a *arrival) winners(sold func(*reply) bool) map[string]bool {
	won := map[string]bool{}
	for i := range a.heard {
		if h := &a.heard[i]; h.reply != nil && h.reason() == "admitted" && sold(h.reply) {
			won[h.account] = true
		}
	}
	return won
}
