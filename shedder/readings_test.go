package shedder

// Properties of the limit under counters that no origin would make: whatever they say, it
// is a number within bounds, and what must not teach it anything does not.

import (
	"math"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"penstock/rules"
)

// history is random counters. The limit that reads them does not shape them.
type history struct {
	reading
	at time.Time
}

// add counts what happened in one tick of so many requests at the origin.
func (h *history) add(inFlight int, useful, failed, offered, waited uint64, took float64) {
	h.at = h.at.Add(tick)
	h.area += float64(inFlight) * tick.Seconds()
	h.inFlight = inFlight
	h.useful += useful
	h.failed += failed
	h.offered += offered
	h.waited += waited
	h.done[rules.Browse] += useful
	h.took[rules.Browse] += took * float64(useful)
}

func checkNumbers(t failer, l *limit) {
	for name, x := range map[string]float64{
		"level": l.level, "resident": l.resident, "capacity": l.capacity, "elasticity": l.settle.e, "error": l.settle.s,
		"variance": l.settle.c2, "usual failures": l.guard.usual, "inflation": l.inflation(&l.last), "rest": l.rest.usual[rules.Browse],
	} {
		if math.IsNaN(x) || math.IsInf(x, 0) {
			t.Fatalf("%s is %v", name, x)
		}
	}
	if n := l.now(); l.fixed == 0 && (l.level < 1 || l.level > l.most || n < 1 || float64(n) > l.most) {
		t.Fatalf("the limit is %d around %v, want within [1, %v]", n, l.level, l.most)
	}
}

func TestLimitIsANumberWhateverIsCounted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := rules.Origin{MaxConcurrency: rapid.SampledFrom([]int{1, 2, 3, 50, 1000}).Draw(t, "most")}
		o.LatencyTarget = rapid.SampledFrom([]time.Duration{0, 1, time.Millisecond, time.Second}).Draw(t, "target")
		var l *limit
		h := &history{at: time.Unix(1_700_000_000, rapid.Int64Range(0, 1e9).Draw(t, "at"))}
		l = newLimit(o, Remembered{Limit: rapid.IntRange(0, 2000).Draw(t, "remembered")}, h.at, func(m Move) { checkMove(t, m, max(l.most, float64(l.fixed))) })
		for range rapid.IntRange(1, 40).Draw(t, "stretches") {
			switch rapid.IntRange(0, 9).Draw(t, "also") {
			case 0:
				h.at = h.at.Add(time.Duration(rapid.Int64Range(-1e9, 1e9).Draw(t, "clock")))
			case 1:
				o.Concurrency = rapid.SampledFrom([]int{0, 0, 7}).Draw(t, "fixed")
				o.ObserveConcurrency = o.Concurrency == 0 && rapid.Bool().Draw(t, "observe")
				l.configure(o)
			}
			useful := rapid.Uint64Range(0, 60).Draw(t, "useful")
			failed := rapid.Uint64Range(0, 20).Draw(t, "failed")
			waited := rapid.Uint64Range(0, 50).Draw(t, "waited")
			took := rapid.SampledFrom([]float64{0, 1e-6, .02, 3, 90}).Draw(t, "took")
			full := rapid.SampledFrom([]float64{0, .5, 1, 1, 1, 3}).Draw(t, "full")
			for range rapid.IntRange(1, 80).Draw(t, "ticks") {
				h.add(int(full*float64(l.now())), useful, failed, useful+failed+waited, waited, took)
				l.tick(h.at, h.reading)
				checkNumbers(t, l)
			}
		}
	})
}

// Quiet traffic must not wind the limit up, or what was learned down: there either nobody
// waits, or less than the limit is in use.
func TestQuietTrafficMovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := &history{at: time.Unix(1_700_000_000, 0)}
		var moves []Move
		from := Remembered{Limit: rapid.IntRange(8, 500).Draw(t, "limit")}
		l := newLimit(rules.Origin{MaxConcurrency: 1000, LatencyTarget: time.Millisecond}, from, h.at, func(m Move) { moves = append(moves, m) })
		if rapid.Bool().Draw(t, "settled") {
			l.settleDown(h.at)
		}
		most, waited := 1., uint64(0)
		if rapid.Bool().Draw(t, "refused") { // by the file's own bounds
			most, waited = .5, 100 // even while the limit swings down
		}
		for range rapid.IntRange(1, 40).Draw(t, "stretches") {
			useful := rapid.Uint64Range(1, 60).Draw(t, "useful")
			failed := rapid.Uint64Range(0, 200).Draw(t, "failed")
			took := rapid.Float64Range(0, 3).Draw(t, "took")
			full := rapid.Float64Range(0, most).Draw(t, "full")
			for range rapid.IntRange(1, 200).Draw(t, "ticks") {
				h.add(int(full*float64(from.Limit)), useful, failed, useful+failed+waited, waited, took)
				l.tick(h.at, h.reading)
			}
		}
		if len(moves) > 0 || l.level != float64(from.Limit) || l.capacity != 0 {
			t.Fatalf("quiet traffic taught the limit something: %+v, level %v of %v", moves, l.level, from.Limit)
		}
	})
}

// More refusals of an origin that is busy anyway say nothing of the origin.
func TestRefusalsTeachNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h, twin := &history{at: time.Unix(1_700_000_000, 0)}, &history{at: time.Unix(1_700_000_000, 0)}
		var moves, twins []Move
		l := newLimit(origin(), Remembered{}, h.at, func(m Move) { moves = append(moves, m) })
		k := newLimit(origin(), Remembered{}, h.at, func(m Move) { twins = append(twins, m) })
		for range rapid.IntRange(1, 20).Draw(t, "stretches") {
			useful := rapid.Uint64Range(0, 60).Draw(t, "useful")
			failed := rapid.Uint64Range(0, 5).Draw(t, "failed")
			took := rapid.Float64Range(0, .5).Draw(t, "took")
			refused := rapid.Uint64Range(0, 10_000).Draw(t, "refused")
			for range rapid.IntRange(1, 80).Draw(t, "ticks") {
				n, k2 := l.now(), k.now()
				h.add(n, useful, failed, 100, 50, took)
				twin.add(k2, useful, failed, 100+refused, 50+refused, took)
				l.tick(h.at, h.reading)
				k.tick(twin.at, twin.reading)
			}
		}
		if !reflect.DeepEqual(moves, twins) || !reflect.DeepEqual(l.rest, k.rest) && l.rest.usual != k.rest.usual {
			t.Fatalf("refusals changed the moves from %+v to %+v", moves, twins)
		}
	})
}
