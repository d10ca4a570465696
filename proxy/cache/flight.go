package cache

// The one fetch for all who want the same. It is begun by Get, made by whom Get gave it
// to, and ends once, whatever comes of it: those who wait look what it has brought.

import (
	"time"

	"penstock/rules"
)

// Result is what a fetch has come to.
type Result uint8

const (
	Failed   Result = iota // no answer, or one that says the origin is in trouble: 429, 5xx
	Refused                // nothing was asked
	Stored                 // the answer is kept
	Cookie                 // not kept: it sets a cookie
	Private                // it says no-store, private or no-cache
	Expired                // it says that it is old already
	Varies                 // by what no answer can be found by
	Status                 // answers of this status are not kept
	TooLarge               // for max_entry
	Unframed               // nobody can tell whether it is whole
	results
)

var resultNames = [results]string{
	"failed", "refused", "stored", "cookie", "private", "expired", "varies", "status", "too_large", "unframed",
}

// String is the result as it stands in metrics.
func (r Result) String() string { return resultNames[r] }

// Results lists every result.
func Results() []Result {
	all := make([]Result, results)
	for i := range all {
		all[i] = Result(i)
	}
	return all
}

// Flight is one fetch under way.
type Flight struct {
	Send []Field // headers of the request that the fetch says as well: see Head
	Rule *rules.Cache

	c     *Cache
	page  string
	key   string
	names []string
	zip   bool // Accept-Encoding: gzip is said
	ends  time.Time
	done  chan struct{}

	// What it has brought, from when done is closed.
	answer *Answer // nil: none that others may be shown
	by     []string
	values string
	told   any
	taught bool // an answer was kept: perhaps for others, but it says what answers vary by
	ended  bool
}

// begin enters a flight for the request. The caller holds the lock.
func (c *Cache) begin(a *Asked, names []string, values string, now time.Time) *Flight {
	f := &Flight{
		Rule: a.Rule, c: c, page: a.Key, key: flightKey(a.Key, values), names: names,
		ends: now.Add(c.patience), done: make(chan struct{}),
	}
	f.Send, f.zip = sendable(names, a)
	c.flights[f.key] = f
	return f
}

// Wait waits until the flight has ended; false if that takes too long or cancel comes first.
func (f *Flight) Wait(cancel <-chan struct{}) bool {
	select {
	case <-f.done:
		return true
	default:
	}
	patience := time.NewTimer(time.Until(f.ends))
	defer patience.Stop()
	select {
	case <-f.done:
		return true
	case <-patience.C:
	case <-cancel:
	}
	return false
}

// Share gives one who waited what the flight has brought: the answer, if it is one to the
// request as well, or what Fail was told. again says that it is worth to Get once more.
func (f *Flight) Share(a *Asked) (answer *Answer, told any, again bool) {
	if f.answer != nil {
		if values, ok := valuesOf(f.by, a); ok && values == f.values {
			return f.answer, nil, false
		}
	}
	return nil, f.told, f.taught
}

// Keep ends the flight with an answer that was read whole, and keeps it if it may be.
func (f *Flight) Keep(a *Answer, now time.Time) Result {
	j := f.c.judge(f, a)
	names := union(f.names, j.names)
	switch {
	case j.result == Stored:
	case j.result == Failed && j.open:
		return f.failed(a, names, now)
	case j.result == Failed:
		f.Fail(Failed, nil, now)
		return Failed
	default:
		f.Fail(j.result, nil, now)
		return j.result
	}
	a.received, a.fresh, a.gone = now, now.Add(j.life), now.Add(j.life+j.stale)
	f.c.mu.Lock()
	if p, ok := f.c.pages.Get(f.page); ok {
		names = union(names, p.names) // another fetch may have learnt of more
	}
	f.answer, f.by, f.values, f.taught = a, names, f.valuesBy(names), true
	f.c.put(f.page, names, &variant{values: f.values, answer: a})
	f.c.mu.Unlock()
	f.end()
	return Stored
}

// failed ends the flight with an answer that is for those who wait, but is not kept.
func (f *Flight) failed(a *Answer, names []string, now time.Time) Result {
	a.received = now
	f.answer, f.by, f.values = a, names, f.valuesBy(names)
	f.Fail(Failed, nil, now)
	return Failed
}

// Fail ends the flight without an answer to keep. An answer that is kept is shown on if the
// fetch failed or was refused, and not fetched again before another period has passed; if
// not, it is gone, because there is a new one that may not be kept, and a mark stands in
// its place. told is for those who wait.
func (f *Flight) Fail(r Result, told any, now time.Time) {
	f.told = told
	c := f.c
	c.mu.Lock()
	p, _ := c.pages.Get(f.page)
	values := f.valuesBy(f.names)
	switch v := p.find(values); {
	case r > Stored && (p == nil || equalNames(p.names, f.names)):
		c.put(f.page, f.names, &variant{values: values, until: now.Add(passFor)})
	case r < Stored && v != nil && v.answer != nil:
		v.retry = now.Add(f.Rule.TTL)
	}
	c.mu.Unlock()
	f.end()
}

func (f *Flight) end() {
	if f.ended {
		return
	}
	f.ended = true
	f.c.mu.Lock()
	delete(f.c.flights, f.key)
	f.c.mu.Unlock()
	close(f.done)
}
