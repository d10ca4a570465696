package proxy

// One attempt at the origin, and what comes of it for the end of the request. There is
// never a second attempt.

import (
	"bytes"
	"errors"
	"io"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/upstream"
	"penstock/rules"
)

const (
	// maxSaleAnswer bounds how much of a sale's answer is read before it is judged, bytes.
	maxSaleAnswer = 1 << 20
	// smallAnswer is the largest answer that is sent as one piece, bytes.
	smallAnswer = 32 << 10
	// lateFactor is how many response timeouts an origin may work on before its slot
	// is given back and its unit counts as held.
	lateFactor = 3
)

// forward sends the request and answers with what comes back.
func (p *Proxy) forward(r *request) {
	started := time.Now()
	if r.switching = r.facts.Sale == nil && r.conn != nil && r.head.webSocket(); r.switching {
		p.upgrade(r, started)
		return
	}
	req := upstream.Request{Head: r.originHead(started)}
	var up *upload
	switch {
	case r.whole && len(r.body) > 0:
		req.Body, req.Length = bytes.NewReader(r.body), int64(len(r.body))
	case r.whole:
	case r.head.length != 0:
		up = &r.up
		req.Body, req.Length, req.Stop = io.MultiReader(bytes.NewReader(r.body), up), int64(r.head.length), up.stop
		up.hurry()
		defer up.resume()
	}
	ex, err := r.origin.Do(p.ctx, &req)
	if err != nil {
		p.failed(r, ex, err, up, started)
		return
	}
	r.end.Kind = gate.Answered
	if up != nil && !up.at.IsZero() { // the client's time is not the origin's
		r.end.Held = time.Since(started)
		started = up.at
	}
	if r.facts.Sale != nil {
		p.saleAnswer(r, ex, started)
	} else {
		p.streamAnswer(r, ex, started)
	}
}

// failed answers for an origin that gave no head.
func (p *Proxy) failed(r *request, ex *upstream.Exchange, err error, up *upload, started time.Time) {
	var e *upstream.Error
	errors.As(err, &e)
	switch {
	case up.failed():
		r.end = gate.End{Kind: gate.Refused}
		p.brokenOff(r, up.err)
	case upstream.Unsent(err):
		r.end = gate.End{Kind: gate.Unsent, Unreachable: true}
		p.refuse(r, gate.Verdict{Reason: gate.OriginUnreachable, Retry: time.Second}, "")
	case e != nil && e.Timeout && ex != nil:
		p.refuse(r, gate.Verdict{Reason: gate.OriginTimeout}, "")
		p.awaitLate(r, ex, started)
	case e != nil && e.Timeout:
		p.refuse(r, gate.Verdict{Reason: gate.OriginTimeout}, "")
	default:
		p.refuse(r, gate.Verdict{Reason: gate.OriginFailed}, "")
	}
	if !up.failed() {
		p.warn("origin", err)
	}
}

// awaitLate hands the origin's slot and the unit to a wait that outlives the client:
// the origin is still at work, and its late answer still counts. It does not count among
// its bearer's few at a time: who was answered may ask again.
func (p *Proxy) awaitLate(r *request, ex *upstream.Exchange, started time.Time) {
	const outlives = 1<<slot | 1<<stock | 1<<start
	l := &request{
		ruled: r.ruled, facts: *keep(&r.facts), held: r.held & outlives,
		kind: r.kind, answered: r.answered, late: true,
	}
	r.held &^= outlives
	p.late.Go(func() {
		defer ex.Close()
		if ex.Wait((lateFactor-1)*l.set.Origin.ResponseTimeout) == nil {
			if body, whole := readAnswer(ex); l.facts.Sale == nil || whole {
				l.end = judge(l.facts.Sale, ex, body, started)
			}
		}
		if l.end.Outcome == rules.OutcomeFree && l.holdsUnit() {
			p.forgetPass(l, l.reservation()) // the timeout's answer has given one
		}
		p.settle(l)
	})
}

// readAnswer reads up to maxSaleAnswer of an answer's body. whole is false if it was
// cut; one that is merely longer counts as whole, its rest is still in ex.
func readAnswer(ex *upstream.Exchange) (body []byte, whole bool) {
	body, err := io.ReadAll(io.LimitReader(ex, maxSaleAnswer))
	return body, err == nil
}

// judge says what an answer that was read whole means.
func judge(s *rules.Sale, ex *upstream.Exchange, body []byte, started time.Time) gate.End {
	end := gate.End{Kind: gate.Answered, Status: ex.Status, Took: time.Since(started)}
	if s == nil {
		return end
	}
	header := func(name string) (string, bool) {
		for _, f := range ex.Header {
			if equalFold(f.Name, name) {
				return string(f.Value), true
			}
		}
		return "", false
	}
	answer := &rules.OriginAnswer{Status: ex.Status, Header: header, Body: body}
	end.Outcome = s.Outcome(answer)
	switch v, _ := header("Penstock-Outcome"); v {
	case "sold":
		end.Outcome = rules.OutcomeSold
	case "free":
		end.Outcome = rules.OutcomeFree
	case "unknown":
		end.Outcome = rules.OutcomeUnknown
	}
	if end.Outcome == rules.OutcomeSold && s.Ref != nil {
		end.Ref = s.OrderName(answer)
	}
	return end
}
