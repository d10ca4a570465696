package main

import (
	"context"
	"testing"

	"penstock/proxy/gate"
	"penstock/rules"
)

// says is a gate that answers this.
type says gate.Reason

func (s says) Admit(context.Context, *gate.Facts) gate.Verdict {
	return gate.Verdict{Reason: gate.Reason(s)}
}
func (says) Release(*gate.Facts, gate.End) {}

// TestWhoMayAskTheStore: every connection counts until its request is known to be no sale's,
// and a unit that is held counts without a connection.
func TestWhoMayAskTheStore(t *testing.T) {
	c := &census{
		others:  &counted{Gate: says(gate.Admitted)},
		holders: &counted{Gate: says(gate.Admitted), sales: true},
	}
	open := 3
	wants := func(what string, want int64) {
		t.Helper()
		if got := c.asking(func() int { return open }); got != want {
			t.Errorf("%s: %d may ask, want %d", what, got, want)
		}
	}
	page, order := &gate.Facts{}, &gate.Facts{Sale: &rules.Sale{}}
	wants("three connections", 3)
	c.others.Admit(t.Context(), page)
	wants("one asks for a page", 2)
	c.others.Admit(t.Context(), order)
	wants("one orders", 2)
	c.holders.Admit(t.Context(), page)
	c.holders.Admit(t.Context(), order)
	open = 1
	wants("its answer is late, and the page is still on its way", 1)
	c.holders.Release(order, gate.End{})
	wants("its end is known", 0)
	c.others.Release(page, gate.End{})
	c.others.Release(order, gate.End{})
	c.holders.Release(page, gate.End{})
	wants("and the page is through, its connection is not", 1)

	refusing := &counted{Gate: says(gate.NotOpen), sales: true}
	refusing.Admit(t.Context(), order)
	if n := refusing.n.Load(); n != 0 {
		t.Errorf("%d count who were refused", n)
	}
}
