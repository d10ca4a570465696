// Package schedule is the gate that asks whether a sale is open.
//
// It goes by the request's arrival, so a request that came in time is not shut out by
// a wait at another gate, and it opens at the instant its clock says, not earlier for
// anybody. It does not wait for an opening, and holds nothing.
package schedule

import (
	"context"

	"penstock/proxy/gate"
)

// New returns the gate. It answers NotOpen, with the time until the sale opens, and
// Closed, which is for good.
func New() gate.Gate { return schedule{} }

type schedule struct{}

func (schedule) Admit(_ context.Context, f *gate.Facts) gate.Verdict {
	switch s := f.Sale; {
	case s == nil || s.Open(f.At):
		return gate.Admit
	case f.Order && !f.At.Before(s.Opens):
		return gate.Admit // what was reserved in time may be ordered
	case f.At.Before(s.Opens):
		return gate.Verdict{Reason: gate.NotOpen, Retry: s.Opens.Sub(f.At)}
	}
	return gate.Verdict{Reason: gate.Closed}
}

func (schedule) Release(*gate.Facts, gate.End) {}
