package proxy

// One look at the origin from outside of a running gateway, by the same transport: for
// operators, before it counts. It is no health check; nothing of a proxy's depends on it.

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"penstock/proxy/cache"
	"penstock/proxy/upstream"
	"penstock/rules"
)

// maxProbe bounds how much of an answer is read, bytes.
const maxProbe = 1 << 20

// Probed is what an origin answered.
type Probed struct {
	Status int
	Date   time.Time // the origin's clock; zero: it did not say
	Body   []byte    // at most 1 MiB of it
	Took   time.Duration

	answer *cache.Answer
}

// Differs says in what two answers to the same request differ, one line each: where a route
// keeps its answers against the origin's word, that is somebody's own shown to everybody.
func (p *Probed) Differs(q *Probed) []string { return cache.Differs(p.answer, q.answer) }

// Probe gets a path of the origin once, for host as the client would have named it ("":
// any). The error says whether it could not be reached or did not answer.
func Probe(ctx context.Context, o *rules.Origin, host, path string) (*Probed, error) {
	if o.Host != "" {
		host = o.Host
	}
	if host == "" && o.Network == "tcp" {
		host = o.Address
	}
	origin := upstream.New(reach(o))
	defer origin.Close()
	began := time.Now()
	ex, err := origin.Do(ctx, &upstream.Request{Head: fmt.Appendf(nil,
		"GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: penstock-preflight\r\nAccept: */*\r\n\r\n", path, host)})
	if ex != nil {
		defer ex.Close()
	}
	if err != nil {
		return nil, plainly(o, err)
	}
	p := &Probed{Status: ex.Status}
	for _, f := range ex.Header {
		if equalFold(f.Name, "Date") {
			p.Date, _ = time.Parse(time.RFC1123, string(f.Value)) // one that cannot be read is none
		}
	}
	if p.Body, err = io.ReadAll(io.LimitReader(ex, maxProbe)); err != nil {
		return nil, plainly(o, err)
	}
	p.Took, p.answer = time.Since(began), keepable(ex, p.Body)
	return p, nil
}

// plainly says what went wrong in an operator's words.
func plainly(o *rules.Origin, err error) error {
	var e *upstream.Error
	switch errors.As(err, &e); {
	case upstream.Unsent(err):
		return fmt.Errorf("cannot be reached: %w", e.Err)
	case e != nil && e.Timeout:
		return fmt.Errorf("takes the request and does not answer within %v", o.ResponseTimeout)
	}
	return fmt.Errorf("takes the request and breaks off: %w", err)
}
