package schedule

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"penstock/proxy/gate"
	"penstock/proxy/gate/gatetest"
	"penstock/rules"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

func TestAdmit(t *testing.T) {
	var never time.Time
	f := func(opens, closes, at time.Time, want gate.Reason, retry time.Duration) {
		t.Helper()
		sale := &rules.Sale{Opens: opens, Closes: closes}
		got := New().Admit(context.Background(), &gate.Facts{At: at, Sale: sale})
		if got.Reason != want || got.Retry != retry || got.Err != nil {
			t.Errorf("a sale from %v to %v at %v: got %+v, want %v after %v", opens, closes, at, got, want, retry)
		}
	}
	hour := noon.Add(time.Hour)
	f(never, never, noon, gate.Admitted, 0)
	f(noon, never, noon, gate.Admitted, 0)
	f(noon, hour, noon, gate.Admitted, 0)
	f(noon, hour, noon.Add(-1), gate.NotOpen, 1)
	f(noon, hour, noon.Add(-3*time.Hour), gate.NotOpen, 3*time.Hour)
	f(noon, hour, hour.Add(-1), gate.Admitted, 0)
	f(noon, hour, hour, gate.Closed, 0)
	f(never, hour, hour.Add(time.Hour), gate.Closed, 0)
	f(noon.In(time.FixedZone("", 8*3600)), never, noon.Add(-time.Second), gate.NotOpen, time.Second)
}

func TestGate(t *testing.T) {
	run := func(name string, sale *rules.Sale, capacity int) {
		t.Run(name, func(t *testing.T) {
			gatetest.Run(t, gatetest.Subject{
				New: func(testing.TB) gate.Gate { return New() },
				Facts: func(i int) *gate.Facts {
					ip := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
					return &gate.Facts{At: noon, IP: ip, Account: fmt.Sprintf("c:%d", i), Sale: sale, Units: 1}
				},
				Capacity: capacity,
			})
		})
	}
	run("open", &rules.Sale{Opens: noon}, -1)
	run("not open", &rules.Sale{Opens: noon.Add(1)}, 0)
	run("closed", &rules.Sale{Closes: noon}, 0)
}
