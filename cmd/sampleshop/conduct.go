package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// How the shop behaves, and how that is changed while it runs. Flags and control
// requests share one set of names and one reading of values. What the shop is, its
// workers and its stock, stays as it was started.

// conduct is never changed once it is in use: a change makes a new one. A checkout
// keeps the one it began with.
type conduct struct {
	flow    string        // "json", "redirect" or "cart"
	service time.Duration // for a checkout with nobody else inside
	think   time.Duration // more time between a checkout's read and its write

	// Every Nth checkout meets this; 0: none does. The first that applies counts.
	stallEvery   int
	failEvery    int
	declineEvery int
	hangupEvery  int

	hangupAt string // "head", "body" or "chunk"
	barrier  int
}

// flags binds every field to a flag; what the fields hold now are the defaults.
func (c *conduct) flags(fs *flag.FlagSet) {
	fs.StringVar(&c.flow, "flow", c.flow, "how the shop sells, json (at once, answers with a status that fits), redirect (at once, every failure a 200 page) or cart (the same, but from a cart, and then to pay): a `word`")
	fs.DurationVar(&c.service, "service", c.service, "`time` a checkout takes when alone; pages take a quarter of it, static files a twentieth")
	fs.DurationVar(&c.think, "think", c.think, "more `time` between a checkout's read of the stock and its write")
	fs.IntVar(&c.stallEvery, "stall-every", c.stallEvery, "every `N`th checkout is never answered and sells nothing; its worker is lost until the client leaves")
	fs.IntVar(&c.failEvery, "fail-every", c.failEvery, "every `N`th checkout fails (500) and sells nothing")
	fs.IntVar(&c.declineEvery, "decline-every", c.declineEvery, "every `N`th checkout's card is declined (402)")
	fs.IntVar(&c.hangupEvery, "hangup-every", c.hangupEvery, "every `N`th checkout sells, but its answer breaks off")
	fs.StringVar(&c.hangupAt, "hangup-at", c.hangupAt, "where answers break off, head, body, or chunk (after the first of a chunked body): a `word`")
	fs.IntVar(&c.barrier, "barrier", c.barrier, "the first `N` checkouts write only after all N have read: the shop then oversells for certain, by N-1 units")
}

// check names every fault at once.
func (c *conduct) check(workers int) error {
	var errs []error
	if c.flow != "json" && c.flow != "redirect" && c.flow != "cart" {
		errs = append(errs, fmt.Errorf("-flow is %q, want json, redirect or cart", c.flow))
	}
	if c.hangupAt != "head" && c.hangupAt != "body" && c.hangupAt != "chunk" {
		errs = append(errs, fmt.Errorf("-hangup-at is %q, want head, body or chunk", c.hangupAt))
	}
	if c.service < 0 || c.think < 0 || min(c.stallEvery, c.failEvery, c.declineEvery, c.hangupEvery, c.barrier) < 0 {
		errs = append(errs, errors.New("times and counts must not be negative"))
	}
	// Checkouts at the barrier keep their workers.
	if c.barrier > workers {
		errs = append(errs, fmt.Errorf("-barrier is %d, which %d workers can never reach", c.barrier, workers))
	}
	return errors.Join(errs...)
}

// control shows the conduct, and changes it first if the request is a POST: query
// parameters are the flags' names, "-every" may be left off. All of them take
// effect, or none and the answer is 400. Naming the barrier frees whoever waits at
// it and sets it up anew.
func (s *shop) control(w http.ResponseWriter, r *http.Request) {
	s.changing.Lock()
	defer s.changing.Unlock()
	c := *s.conduct.Load()
	fs := flag.NewFlagSet("control", flag.ContinueOnError)
	c.flags(fs)
	if r.Method == http.MethodPost {
		if err := errors.Join(change(fs, r.URL.Query()), c.check(cap(s.floor.workers))); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.conduct.Store(&c)
		fs.Visit(func(f *flag.Flag) {
			if f.Name == "barrier" {
				s.barrier.set(c.barrier)
			}
		})
	}
	now := map[string]string{}
	fs.VisitAll(func(f *flag.Flag) { now[f.Name] = f.Value.String() })
	sendJSON(w, now)
}

// change sets what the query names; of a name given twice the first value counts.
func change(fs *flag.FlagSet, wanted url.Values) error {
	var errs []error
	for name, values := range wanted {
		if fs.Lookup(name) == nil {
			name += "-every"
		}
		if err := fs.Set(name, values[0]); err != nil {
			errs = append(errs, fmt.Errorf("set %s to %q: %w", name, values[0], err))
		}
	}
	return errors.Join(errs...)
}
