package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"regexp"
	"strings"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

const order = "POST /checkout/place HTTP/1.1\r\nHost: shop.example\r\nCookie: customer=alice\r\nContent-Length: 0\r\n\r\n"

// newStepsRig is a rig whose sale's orders are placed by a later request.
func newStepsRig(t *testing.T) *rig {
	return newRig(t, func(set *rules.Set) {
		s := set.Sales[0]
		s.Order = &rules.OrderStep{Match: rules.Match{Methods: []string{"POST"}, Path: "/checkout/place"}}
		s.Ref = &rules.OrderRef{Location: regexp.MustCompile(`order=(\d+)`)}
	})
}

var reserved = gate.Token{7, 7}

// TestOrderCarriesItsReservation: what the stock gate has found is what is started, sent
// to the shop and settled.
func TestOrderCarriesItsReservation(t *testing.T) {
	g := newStepsRig(t)
	g.shop.saysRaw("HTTP/1.1 302 Found\r\nLocation: /pay?order=4711\r\nContent-Length: 0\r\n\r\n")
	g.probes[stock].says = func(_ context.Context, f *gate.Facts) gate.Verdict {
		return gate.Verdict{Reason: gate.Admitted, Token: reserved}
	}
	if a := g.send(order); a.StatusCode != 302 {
		t.Fatalf("got %d %s", a.StatusCode, a.reason())
	}
	sent := <-g.shop.arrived
	if !strings.Contains(sent, "Penstock-Reservation: "+tokenString(reserved)+"\r\n") {
		t.Errorf("the shop got %q, want the reservation's token", sent)
	}
	f := g.probes[start].facts
	if !f.Order || f.Reservation != reserved || f.Token == reserved || f.Account != "c:alice" || f.Item != "" {
		t.Errorf("the start gate saw %+v", f)
	}
	if end := g.probes[stock].ends[0]; end.Ref != "4711" || end.Outcome != rules.OutcomeSold {
		t.Errorf("the stock gate was told %+v, want order 4711 sold", end)
	}
	if !strings.Contains(g.log.String(), `"order":"4711"`) || !strings.Contains(g.log.String(), `"token":"`+tokenString(reserved)) {
		t.Errorf("the log says %s", g.log)
	}
	g.settled()
}

// TestOrderOfSomethingElse: one that the stock gate lets through without a reservation
// holds no unit.
func TestOrderOfSomethingElse(t *testing.T) {
	g := newStepsRig(t)
	g.send(order)
	if sent := <-g.shop.arrived; strings.Contains(sent, "Penstock-Reservation") {
		t.Errorf("the shop got %q, want no reservation", sent)
	}
	g.settled()
}

func TestReservingIsNoOrder(t *testing.T) {
	g := newStepsRig(t)
	g.shop.saysRaw("HTTP/1.1 303 See Other\r\nLocation: /checkout\r\nContent-Length: 0\r\n\r\n")
	g.send(buy)
	if f := g.probes[stock].facts; f.Order || f.Units != 1 {
		t.Errorf("the stock gate saw %+v", f)
	}
	if !strings.Contains(g.log.String(), `"outcome":"reserved"`) {
		t.Errorf("the log says %s, want the outcome reserved", g.log)
	}
	g.settled()
}

// dialed sends raw and leaves the connection open.
func (g *rig) dialed(raw string) net.Conn {
	g.t.Helper()
	c, err := net.Dial("tcp", g.addr)
	if err != nil {
		g.t.Fatal(err)
	}
	if _, err := io.WriteString(c, raw); err != nil {
		g.t.Fatal(err)
	}
	return c
}

// TestRepeatTakesThePlace: the first request waits for the shop, its client gives up and
// asks again.
func TestRepeatTakesThePlace(t *testing.T) {
	for name, refusing := range map[string]struct {
		at     int
		reason gate.Reason
	}{
		"one in flight": {inFlightAccount, gate.InFlight},
		"one open":      {stock, gate.OrderPending},
	} {
		t.Run(name, func(t *testing.T) {
			g := newRig(t, nil)
			waiting, over := make(chan struct{}), make(chan struct{})
			g.probes[slot].says = func(ctx context.Context, _ *gate.Facts) gate.Verdict {
				if ctx.Done() == nil {
					t.Error("a winner waits without an end")
					return gate.Admit
				}
				select {
				case <-over:
					return gate.Admit
				default:
				}
				close(waiting)
				<-ctx.Done()
				close(over)
				return gate.Verdict{Reason: gate.Overloaded}
			}
			first := g.dialed(buy)
			<-waiting
			g.probes[refusing.at].mu.Lock()
			g.probes[refusing.at].says = func(context.Context, *gate.Facts) gate.Verdict {
				if g.probes[stock].held() > 0 {
					return gate.Verdict{Reason: refusing.reason}
				}
				return gate.Admit
			}
			g.probes[refusing.at].mu.Unlock()
			if a := g.send(buy); a.reason() != refusing.reason.String() {
				t.Errorf("while the first client is there the second hears %q, want %v", a.reason(), refusing.reason)
			}
			first.Close()
			if a := g.send(buy); a.StatusCode != 200 {
				t.Errorf("when it has left the second hears %d %q, want to be served", a.StatusCode, a.reason())
			}
			if n := g.shop.count(); n != 1 {
				t.Errorf("the shop got %d orders, want 1", n)
			}
			g.settled()
		})
	}
}

// TestRepeatAfterTheStart: what was sent is not ended by anybody.
func TestRepeatAfterTheStart(t *testing.T) {
	g := newRig(t, nil)
	answer := make(chan struct{})
	g.shop.says(func(string) []byte { <-answer; return []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") })
	first := g.dialed(buy)
	<-g.shop.arrived
	first.Close()
	g.probes[inFlightAccount].mu.Lock()
	g.probes[inFlightAccount].says = func(context.Context, *gate.Facts) gate.Verdict { return gate.Verdict{Reason: gate.InFlight} }
	g.probes[inFlightAccount].mu.Unlock()
	if a := g.send(buy); a.reason() != "order_pending" {
		t.Errorf("the second hears %q, want order_pending", a.reason())
	}
	g.probes[stock].released = make(chan gate.End, 1)
	close(answer)
	if end := <-g.probes[stock].released; end.Outcome != rules.OutcomeSold {
		t.Errorf("the first ends as %+v, want sold", end)
	}
}

// TestReplacedAtTheLastMoment: the slot is granted just when the request is replaced.
func TestReplacedAtTheLastMoment(t *testing.T) {
	g := newRig(t, nil)
	waiting, granted := make(chan struct{}), make(chan struct{})
	g.probes[slot].says = func(ctx context.Context, _ *gate.Facts) gate.Verdict {
		select {
		case <-granted:
			return gate.Admit
		default:
		}
		close(waiting)
		<-ctx.Done()
		close(granted)
		return gate.Admit
	}
	first := g.dialed(buy)
	<-waiting
	g.probes[inFlightAccount].mu.Lock()
	g.probes[inFlightAccount].says = func(context.Context, *gate.Facts) gate.Verdict {
		if g.probes[stock].held() > 0 {
			return gate.Verdict{Reason: gate.InFlight}
		}
		return gate.Admit
	}
	g.probes[inFlightAccount].mu.Unlock()
	first.Close()
	c := g.dialed(buy)
	defer c.Close()
	c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if a := read(t, bufio.NewReader(c), false); a.StatusCode != 200 {
		t.Errorf("the second hears %d %q", a.StatusCode, a.reason())
	}
	if n := g.shop.count(); n != 1 {
		t.Errorf("the shop got %d orders, want 1", n)
	}
	g.settled()
}
