package proxy

// The beginning of a body that nobody looks into, read before the request stands in line
// for the origin: who drips his body has no place there, and no slot. What it costs is
// memory, and that a client that waits to be asked for its body is asked before it is
// known whether there is a place. It does not help with what comes behind the beginning:
// that is streamed, and the origin waits for it.

import (
	"errors"
	"os"

	"penstock/proxy/gate"
)

// readAhead is how much, in bytes: as much as goes to the origin in one piece.
const readAhead = 64 << 10

// readAhead reads the beginning of a body, or all of it.
func (p *Proxy) readAhead(r *request) bool {
	if r.whole || r.head.length == 0 {
		return true
	}
	u := r.upload(r.set.Client.MaxBody, r.set.Client.Body, false)
	if err := r.fill(u, readAhead); err != nil {
		p.brokenOff(r, err)
		return false
	}
	r.whole = u.ended && !u.chunked // chunks stay chunks
	return true
}

// brokenOff refuses a request whose body failed.
func (p *Proxy) brokenOff(r *request, err error) {
	r.last = true
	switch {
	case errors.Is(err, errUploadTooLarge):
		p.refuse(r, gate.Verdict{Reason: gate.BodyTooLarge}, "")
	case errors.Is(err, os.ErrDeadlineExceeded):
		p.refuse(r, gate.Verdict{Reason: gate.BodyTimeout}, "")
	default:
		p.bad(r, "the body does not end where it should")
	}
}
