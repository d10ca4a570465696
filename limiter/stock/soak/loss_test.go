package soak

import (
	"context"
	"time"

	"penstock/limiter/stock"
	"penstock/limiter/stock/stocktest"
)

// Sites that lose history. Gateways that know it do not crash here, unless replicas had
// acknowledged all that was sent: who loses both the store and the knowledge can oversell.

// emptied is a server that loses everything once.
type emptied struct {
	dialled
	server *stocktest.Server
	done   bool
}

func newEmptied(w *world) *emptied {
	e := &emptied{server: stocktest.StartRedis(w)}
	e.dial(w, e.server.Rules())
	return e
}

func (e *emptied) fragile() bool { return true }

func (e *emptied) lost() bool { return e.done }

func (e *emptied) fault(w *world) {
	if e.done {
		forget(w, e.server)
		return
	}
	e.done = true
	if w.r.IntN(2) == 0 {
		w.tally.Fault("redis emptied")
		e.server.Client(w).FlushAll(w.Context())
	} else {
		w.tally.Fault("redis restarted empty")
		e.server.Restart(w)
	}
	e.frozen(w)
	<-time.After(time.Duration(w.r.IntN(600)) * time.Millisecond)
	s := w.sales[0].Stock
	load := stock.Loading{Ledger: ledger, Items: s.Items, Terms: stock.TermsOf(w.sales[0]), Frozen: true}
	if _, fresh, err := e.judge.Load(context.Background(), load); err != nil || !fresh {
		w.Errorf("seed %d: load anew after the loss: fresh %v, %v", w.seed, fresh, err)
	}
}

// frozen waits until every gateway has seen the loss. Nobody may load the ledger anew.
func (e *emptied) frozen(w *world) {
	for place := range w.slots {
		g := w.slots[place].Load()
		for end := time.Now().Add(bound); ; <-time.After(5 * time.Millisecond) {
			s, err := g.stock.Pictures(context.Background())
			if err == nil && s.Ledgers[ledger].Frozen {
				break
			}
			if time.Now().After(end) {
				w.Errorf("seed %d: gateway %d does not freeze", w.seed, place)
				break
			}
		}
	}
	if p, err := e.look(); err == nil && p.Items != nil {
		w.Errorf("seed %d: a gateway has loaded a ledger that was lost", w.seed)
	}
}

func (e *emptied) look() (stock.Picture, error) {
	p, err := e.judge.Pulse(context.Background(), ledger)
	if err != nil {
		return stock.Picture{}, err
	}
	return p[0], nil
}

func (e *emptied) heal(w *world) {
	if !e.done {
		e.fault(w)
	}
}

// promoted is a primary with a replica that takes its place once. acks: the replica must
// have every start, so nothing that was sent is missing afterwards.
type promoted struct {
	dialled
	net              *stocktest.Lossy // gateways know this address only
	primary, replica *stocktest.Server
	acks             int
	done             bool
}

func newPromoted(w *world, acks int) *promoted {
	p := &promoted{net: stocktest.NewLossy(w), primary: stocktest.StartRedis(w), acks: acks}
	p.replica = stocktest.StartReplica(w, p.primary)
	c := p.primary.Client(w)
	c.Set(w.Context(), "first", 1, 0)
	c.Wait(w.Context(), 1, bound) // it has begun to follow
	p.net.Front(p.primary.Addr)
	r := p.primary.Rules()
	r.Addrs, r.ReplicasAck = []string{p.net.Addr}, acks
	p.dial(w, r)
	return p
}

// places is one where history is lost for good: the others could win on what is left
// before they know.
func (p *promoted) places() int {
	if p.acks == 0 {
		return 1
	}
	return 3
}

func (p *promoted) fragile() bool { return p.acks == 0 }

func (p *promoted) lost() bool { return p.done }

func (p *promoted) fault(w *world) {
	if p.done {
		forget(w, p.replica)
		return
	}
	p.done = true
	replica := p.replica.Client(w)
	if w.r.IntN(3) > 0 {
		w.tally.Fault("replica stalled, then promoted")
		replica.ReplicaOf(w.Context(), "127.0.0.1", "1") // it hears nothing any more
		<-time.After(time.Duration(w.r.IntN(400)) * time.Millisecond)
	} else {
		w.tally.Fault("replica promoted")
	}
	p.primary.Kill()
	replica.ReplicaOf(w.Context(), "NO", "ONE")
	if p.acks > 0 { // there is nobody left to acknowledge
		stocktest.StartReplica(w, p.replica)
	}
	p.net.Front(p.replica.Addr)
}

func (p *promoted) heal(w *world) {
	if !p.done {
		p.fault(w)
	}
}
