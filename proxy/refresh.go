package proxy

// The fetch of an answer that a route keeps: a request of the gateway's own, with no
// client. It takes a place and a slot as the route's requests do, asks once, and reads the
// answer whole. It gives up renewal by validator: the body comes anew every time.

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/valyala/fasthttp"

	"penstock/proxy/cache"
	"penstock/proxy/gate"
	"penstock/proxy/upstream"
)

// refresh begins the fetch that a flight owes.
func (p *Proxy) refresh(r *request, k *keeping, f *cache.Flight, t *cache.Target) {
	w := &request{
		ruled: r.ruled, kind: r.kind, late: true, end: gate.End{Kind: gate.Refused},
		facts: gate.Facts{At: time.Now(), Priority: k.priority, Token: p.tokens.next()},
	}
	own := cache.Target{
		Target: bytes.Clone(t.Target), Host: bytes.Clone(t.Host), Proto: bytes.Clone(t.Proto),
		ForwardedHost: bytes.Clone(t.ForwardedHost), Script: t.Script, ID: tokenString(w.facts.Token),
	}
	p.late.Go(func() { p.fetch(w, k, f, &own) })
}

// fetched is what a fetch has come to.
type fetched struct {
	result cache.Result
	answer *cache.Answer // nil: none that could be kept
	told   any           // a gate.Verdict for those who wait
}

// fetch makes it and ends the flight, panics included.
func (p *Proxy) fetch(w *request, k *keeping, f *cache.Flight, t *cache.Target) {
	broke := gate.Verdict{Reason: gate.Internal}
	defer func() {
		if e := recover(); e != nil { // nobody may wait for a flight that never ends
			p.panicked(e)
			f.Fail(cache.Failed, broke, time.Now())
		}
	}()
	got := fetched{told: broke}
	defer func() {
		if e := recover(); e != nil {
			p.panicked(e)
		}
		p.release(w, everything)
		w.kind.done(w)
		if got.answer != nil {
			got.result = f.Keep(got.answer, time.Now())
		} else {
			f.Fail(got.result, got.told, time.Now())
		}
		k.fetched[got.result].Inc()
	}()
	if v := p.queue(w); !v.OK() {
		got = fetched{result: cache.Refused, told: v}
		return
	}
	got = p.get(w, f, t)
}

// queue takes a place and a slot. What it says is for those who wait.
func (p *Proxy) queue(w *request) gate.Verdict {
	for _, i := range [...]int{place, slot} {
		if p.gates[i] == nil {
			continue
		}
		v := p.ask(w, i, p.gates[i])
		if !v.OK() {
			p.trouble(v)
			return v
		}
		w.held |= 1 << i
	}
	w.end = gate.End{}
	return gate.Admit
}

// get asks the origin.
func (p *Proxy) get(w *request, f *cache.Flight, t *cache.Target) fetched {
	started := time.Now()
	ex, err := w.origin.Do(p.ctx, &upstream.Request{Head: f.AppendHead(nil, t)})
	if err != nil {
		p.warn("origin", err)
		return p.unanswered(w, ex, err, started)
	}
	defer ex.Close()
	w.end = gate.End{Kind: gate.Answered, Status: ex.Status, Took: time.Since(started)}
	limit := f.Rule.MaxEntry
	switch {
	case ex.UntilClose || eventStream(ex):
		return fetched{result: cache.Unframed}
	case ex.Length > limit:
		return fetched{result: cache.TooLarge}
	}
	body, err := readWithin(ex, limit, time.Now().Add(w.set.Origin.ResponseTimeout))
	w.end.Held = time.Since(started)
	switch {
	case err == nil:
		return fetched{answer: keepable(ex, body)}
	case errors.Is(err, errTooLong):
		return fetched{result: cache.TooLarge}
	case errors.Is(err, errTooSlow):
		return fetched{result: cache.Unframed}
	}
	w.end = gate.End{}
	p.warn("origin", err)
	return fetched{told: gate.Verdict{Reason: gate.OriginFailed}}
}

// unanswered is a fetch to which no head of an answer came. The origin may be at work on
// it still, and keeps its slot then.
func (p *Proxy) unanswered(w *request, ex *upstream.Exchange, err error, started time.Time) fetched {
	var e *upstream.Error
	switch errors.As(err, &e); {
	case upstream.Unsent(err):
		w.end = gate.End{Kind: gate.Unsent, Unreachable: true}
		return fetched{told: gate.Verdict{Reason: gate.OriginUnreachable, Retry: time.Second}}
	case e != nil && e.Timeout:
		if ex != nil {
			p.awaitLate(w, ex, started)
		}
		return fetched{told: gate.Verdict{Reason: gate.OriginTimeout}}
	}
	return fetched{told: gate.Verdict{Reason: gate.OriginFailed}}
}

var (
	errTooLong = errors.New("read answer: longer than is kept")
	errTooSlow = errors.New("read answer: it takes too long")
)

// readWithin reads a body to its proper end, within bytes and time.
func readWithin(ex *upstream.Exchange, limit int64, by time.Time) ([]byte, error) {
	body := make([]byte, 0, min(max(ex.Length, 4096), limit)+1)
	for {
		if len(body) == cap(body) {
			body = slices.Grow(body, len(body))
		}
		n, err := ex.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, errTooLong
		case err == io.EOF:
			return slices.Clip(bytes.Clone(body)), nil
		case err != nil:
			return nil, err
		case time.Now().After(by):
			return nil, errTooSlow
		}
	}
}

// keepable is the answer without what ends here: hop-by-hop headers, ours, what is worked
// out anew for each who is shown it, and cookies, which stand apart.
func keepable(ex *upstream.Exchange, body []byte) *cache.Answer {
	a := &cache.Answer{Status: ex.Status, Body: body}
	dated := false
	lines := listed(ex.Header)
	for _, f := range ex.Header {
		switch k := classify(f.Name); {
		case k == hPenstock, k == hContentLength, hopByHop(k, f.Name, lines):
		case equalFold(f.Name, "Age"):
			if a.Aged == "" {
				a.Aged = string(f.Value)
			}
		case equalFold(f.Name, "Set-Cookie"):
			if !ours(f.Value) {
				a.Cookies = append(a.Cookies, string(f.Value))
			}
		default:
			dated = dated || equalFold(f.Name, "Date")
			a.Header = append(a.Header, cache.Field{Name: string(f.Name), Value: string(f.Value)})
		}
	}
	if !dated {
		a.Header = append(a.Header, cache.Field{Name: "Date", Value: string(fasthttp.AppendHTTPDate(nil, time.Now()))})
	}
	return a
}
