package soak

import (
	"context"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/redis"
	"penstock/limiter/stock/stocktest"
	"penstock/rules"
)

// Redis as a site: one server that is killed, stopped and emptied; one behind a network
// that loses replies; a cluster.

const callBudget = 100 * time.Millisecond

// newSite takes turns: a seed's remainder is its site.
func newSite(w *world) site {
	switch w.seed % sites {
	case 0:
		return newFile(w)
	case 1, 2:
		return newSingle(w)
	case 3:
		return newLossy(w)
	case 4:
		return newCluster(w)
	case 5:
		return newEmptied(w)
	case 6:
		return newPromoted(w, 1)
	}
	return newPromoted(w, 0)
}

const sites = 8

// dialled is what all of them share.
type dialled struct {
	rules rules.Redis
	judge stock.Store
}

func (d *dialled) dial(w *world, r rules.Redis) {
	d.rules = r
	d.rules.Timeout = callBudget
	slow := r
	slow.Timeout = time.Second
	d.judge = redis.New(slow)
	w.Cleanup(func() { d.judge.Close() })
}

func (d *dialled) places() int { return 3 }

func (d *dialled) open(*world, *gateway) (stock.Store, error) { return redis.New(d.rules), nil }

func (d *dialled) watcher(*world) stock.Store { return d.judge }

func (d *dialled) memory() bool { return true }

func (d *dialled) lost() bool { return false }

// single is one server that keeps what it is told, in a file.
type single struct {
	dialled
	server *stocktest.Server
}

func newSingle(w *world) *single {
	s := &single{server: stocktest.StartRedis(w, "--appendonly", "yes",
		"--appendfsync", []string{"always", "everysec"}[w.r.IntN(2)])}
	s.dial(w, s.server.Rules())
	return s
}

func (s *single) fault(w *world) {
	c := s.server.Client(w)
	switch w.r.IntN(5) {
	case 0:
		w.tally.Fault("redis killed and restarted")
		s.server.Kill()
		<-time.After(time.Duration(w.r.IntN(200)) * time.Millisecond)
		s.server.Restart(w)
	case 1:
		w.tally.Fault("redis stopped for a while")
		s.server.Pause()
		<-time.After(callBudget + time.Duration(w.r.IntN(500))*time.Millisecond)
		s.server.Continue()
	case 2:
		forget(w, s.server)
	case 3:
		w.tally.Fault("redis out of memory")
		c.ConfigSet(w.Context(), "maxmemory", "1mb")
		<-time.After(time.Duration(50+w.r.IntN(300)) * time.Millisecond)
		c.ConfigSet(w.Context(), "maxmemory", "0")
	case 4:
		adjust(w, s.judge)
	}
}

func (s *single) heal(w *world) { s.server.Client(w).ConfigSet(w.Context(), "maxmemory", "0") }

// forget has the server forget the scripts, again and again.
func forget(w *world, s *stocktest.Server) {
	w.tally.Fault("scripts flushed")
	c := s.Client(w)
	for range 40 {
		c.ScriptFlush(w.Context())
		<-time.After(3 * time.Millisecond)
	}
}

// adjust adds units, or takes some out, as operators do.
func adjust(w *world, store stock.Store) {
	w.tally.Fault("units added or withdrawn")
	a := stock.Adjustment{Ledger: ledger, Token: w.token(), Item: "red", Add: 1 + w.r.IntN(10)}
	if w.r.IntN(2) == 0 {
		a.Add, a.Remove = 0, 1+w.r.IntN(5)
	}
	for range 2 { // the second changes nothing
		store.Adjust(context.Background(), a)
	}
}

// lossy is one server behind a network that loses replies.
type lossy struct {
	dialled
	net    *stocktest.Lossy
	server *stocktest.Server
}

func newLossy(w *world) *lossy {
	l := &lossy{net: stocktest.NewLossy(w), server: stocktest.StartRedis(w)}
	l.net.Front(l.server.Addr)
	l.dial(w, l.server.Rules())
	l.rules.Addrs = []string{l.net.Addr}
	return l
}

func (l *lossy) fault(w *world) {
	if w.r.IntN(6) == 0 {
		forget(w, l.server)
		return
	}
	loseReplies(w, l.net)
}

// loseReplies makes the network do some of what it can.
func loseReplies(w *world, net *stocktest.Lossy) {
	before := net.Faults()
	for range 4 + w.r.IntN(8) {
		switch w.r.IntN(6) {
		case 0, 1:
			net.Lose(1 + w.r.IntN(4))
		case 2:
			net.Swallow(1 + w.r.IntN(2))
		case 3:
			net.Cut(w.r.IntN(40))
		case 4:
			net.Hold(1 + w.r.IntN(3))
			<-time.After(time.Duration(w.r.IntN(2*int(callBudget/time.Millisecond))) * time.Millisecond)
			net.Release()
		case 5:
			net.Split(w.r.IntN(2) == 0)
		}
		<-time.After(time.Duration(5+w.r.IntN(40)) * time.Millisecond)
	}
	for range net.Faults() - before {
		w.tally.Fault("reply lost, cut or held back")
	}
}

func (l *lossy) heal(*world) {
	l.net.Heal()
	l.net.Split(false)
}

// cluster is three servers, of which one has the ledger.
type cluster struct {
	dialled
	nodes *stocktest.Cluster
}

func newCluster(w *world) *cluster {
	c := &cluster{nodes: stocktest.StartLossyCluster(w)}
	c.dial(w, c.nodes.Rules())
	return c
}

func (c *cluster) fault(w *world) {
	switch n := w.r.IntN(5); {
	case n < 2:
		w.tally.Fault("slot migrated")
		key := "{" + c.rules.KeyPrefix + ":" + ledger + "}:head"
		c.nodes.Migrate(w, key, func() { <-time.After(time.Duration(w.r.IntN(6)) * time.Millisecond) })
	case n < 3:
		forget(w, c.nodes.Nodes[w.r.IntN(3)])
	default:
		loseReplies(w, c.nodes.Lossy[w.r.IntN(3)])
	}
}

func (c *cluster) heal(*world) {
	for _, l := range c.nodes.Lossy {
		l.Heal()
		l.Split(false)
	}
}
