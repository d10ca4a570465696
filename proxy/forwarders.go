package proxy

// Peers that nobody trusts and that speak for many clients: most likely a balancer that is
// missing from trusted_proxies, whose one address is then rate-limited for the whole sale.
// They are looked out for, because every other sign of that mistake looks like a crowd.
//
// What it gives up: only a few peers are watched at a time, those that name the most
// clients, and a request that finds the watch busy is not looked at. Anybody may forge the
// header, so a peer that shows up here is a question to the operator and nothing else.

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	manyClients   = 20               // different ones within forwardWindow are many
	forwardWindow = time.Minute      // in which they are counted
	forwardMemory = 10 * time.Minute // how long a peer that named many is remembered
	forwardPeers  = 16               // watched at a time
)

// Forwarder is a peer that names many clients and is not trusted to.
type Forwarder struct {
	Peer netip.Addr
	Last time.Time // when it was last found to
}

// forwarders watches untrusted peers. The zero value is ready.
type forwarders struct {
	mu    sync.Mutex
	seed  maphash.Seed
	peers [forwardPeers]forwarder
}

type forwarder struct {
	peer    netip.Addr // zero: free
	since   time.Time  // begin of the window
	n       int        // different clients in it
	clients [manyClients]uint64
	last    time.Time // when there were many; zero: never yet
	said    time.Time // and when that was said
}

// saw notes that a peer named a client: the last entry of X-Forwarded-For, which is the
// one the peer itself has added. It reports whether it is time to say that it names many.
func (f *forwarders) saw(peer netip.Addr, xff []byte, at time.Time) (say bool) {
	if !f.mu.TryLock() {
		return false
	}
	defer f.mu.Unlock()
	if f.seed == (maphash.Seed{}) {
		f.seed = maphash.MakeSeed()
	}
	k := f.watched(peer, at)
	if at.Sub(k.since) >= forwardWindow {
		k.since, k.n = at, 0
	}
	if k.n < manyClients {
		client := maphash.Bytes(f.seed, trimOWS(xff[bytes.LastIndexByte(xff, ',')+1:]))
		if slices.Contains(k.clients[:k.n], client) {
			return false
		}
		k.clients[k.n] = client
		k.n++
	}
	if k.n < manyClients {
		return false
	}
	k.last = at
	if say = at.Sub(k.said) >= forwardWindow; say {
		k.said = at
	}
	return say
}

// watched is the peer's entry; a new one takes the place of the one that names the fewest.
func (f *forwarders) watched(peer netip.Addr, at time.Time) *forwarder {
	worth := func(k *forwarder) int {
		switch {
		case k.peer == netip.Addr{}:
			return -1
		case at.Sub(k.last) < forwardMemory:
			return manyClients
		case at.Sub(k.since) >= forwardWindow:
			return 0
		}
		return k.n
	}
	least := &f.peers[0]
	for i := range f.peers {
		k := &f.peers[i]
		if k.peer == peer {
			return k
		}
		if worth(k) < worth(least) {
			least = k
		}
	}
	*least = forwarder{peer: peer, since: at}
	return least
}

// many lists the peers that named many clients lately, as far as they are untrusted.
func (f *forwarders) many(at time.Time, untrusted func(netip.Addr) bool) []Forwarder {
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []Forwarder
	for i := range f.peers {
		if k := &f.peers[i]; !k.last.IsZero() && at.Sub(k.last) < forwardMemory && untrusted(k.peer) {
			all = append(all, Forwarder{k.peer, k.last})
		}
	}
	return all
}

// Forwarders lists the peers that named many clients in the last minutes without being in
// trusted_proxies.
func (p *Proxy) Forwarders() []Forwarder {
	set := p.current.Load().set
	return p.forwarders.many(time.Now(), func(a netip.Addr) bool { return !trusts(set, a) })
}

// hearsay counts what an untrusted peer says of others, and says loudly when it is much.
func (p *Proxy) hearsay(r *request) {
	p.metrics.forwarded.Inc()
	peer := r.peer()
	if !p.forwarders.saw(peer, r.head.forwardedFor, r.facts.At) {
		return
	}
	if _, ok := p.throttle.allow("forwarders", time.Now()); ok {
		p.log.Error("an untrusted peer forwards for many clients: its one address is limited for all of them",
			"peer", peer.String(), "clients_in_a_minute", manyClients,
			"do", "if it is your balancer or CDN, add it to trusted_proxies")
	}
}
