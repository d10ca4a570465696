package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample is a rehearsal of n seconds as one could be: a quiet third, a crowd of 20 times
// what the origin can do in the second third with a slow Redis in its middle, and a
// smaller crowd at the end. The same n makes the same result.
func sample(n int) *Result {
	random := rand.New(rand.NewPCG(1, uint64(n)))
	third := Millis(n/3) * 1000
	r := &Result{
		Shape: Shape, Sale: "phone-nov27", File: "sale.yaml", Target: "127.0.0.1:8080", Origin: "the sample shop",
		Changes: []string{"it opens at once instead of on 2026-11-27 at 20:00", "the store is a Redis of its own"},
		Seed:    7, Command: "penstock rehearse -config sale.yaml -seed 7",
		Started: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC), Took: Millis(n) * 1000, Patience: 1000,
		Phases:    []Phase{{"quiet", 0, third, 100}, {"crowd", third, 2 * third, 10000}, {"afterwards", 2 * third, Millis(n) * 1000, 900}},
		Faults:    []Fault{{"Redis answers 50 ms late", third * 3 / 2, third*3/2 + 3000}},
		Generator: Generator{LagP99: 1.3, LagMax: 8.25},
		Totals:    Totals{Answers: map[string]int64{}},
		Winners:   Winners{Got: 1040, GaveUp: 40, Reached: 1000},
		Stock:     Stock{Loaded: 1000, Orders: 1000, Units: Units{Sold: 1000}},
	}
	classes := []string{"page", "buy", "order", "thanks"}
	for _, c := range classes {
		r.Classes = append(r.Classes, Class{c, Latency{31234, 43.2, 120, 260.4, 420, 811}, Latency{812345, 0.31, 0.62, 1.84, 3.9, 12.5}, Latency{1200, 800, 950, 1010, 1040, 1102}})
	}
	sold := 0.0
	for i := range n {
		load := []float64{100, 10000, 900}[min(2, i*3/n)]
		s := Second{Arrivals: int64(load * (0.9 + 0.2*random.Float64())), Best: 500, Answers: map[string]int64{}, Classes: map[string]Moment{}}
		s.Requests = s.Arrivals * 11 / 10
		s.Goodput = min(s.Requests, int64(480+20*random.Float64()))
		sold = math.Min(1000, sold+min(load, 500)/10)
		s.Answers["admitted"] = s.Goodput
		if left := s.Requests - s.Goodput; left > 0 {
			s.Answers["overloaded"] = left * 6 / 10
			s.Answers["sold_out"] = left * 3 / 10
			for k, reason := range []string{"rate_limited", "in_flight", "already_bought", "order_pending", "left", "timeout", "status 503"} {
				s.Answers[reason] = left / 10 / int64(2<<k)
			}
		}
		for _, c := range classes {
			m := Moment{Served: &Pair{Millis(30 + 40*random.Float64()), Millis(90 + 200*random.Float64())}}
			if load > 500 {
				m.Refused = &Pair{Millis(0.2 + 0.2*random.Float64()), Millis(1 + 2*random.Float64())}
			}
			s.Classes[c] = m
		}
		limit := 64 + 10*math.Sin(float64(i)/9)
		s.Gateway = &Gauges{Limit: math.Round(limit), InFlight: math.Round(math.Min(limit, load/12)),
			Queue: map[string]int64{"winner": int64(load / 900), "checkout": 0, "order": int64(load / 300 * random.Float64()), "browse": int64(load / 100)},
			Units: &Units{Sold: int64(sold), Reserved: int64((1000 - sold) * 0.3), Sending: int64((1000 - sold) * 0.05), Free: 1000 - int64(sold) - int64((1000-sold)*0.3) - int64((1000-sold)*0.05)}}
		for k, v := range s.Answers {
			r.Totals.Answers[k] += v
		}
		r.Totals.Arrivals += s.Arrivals
		r.Totals.Requests += s.Requests
		r.Totals.Goodput += s.Goodput
		r.Seconds = append(r.Seconds, s)
	}
	r.Totals.Useful = r.Totals.Goodput + 12
	r.Totals.AtOnce = r.Totals.Answers["overloaded"] + r.Totals.Answers["sold_out"]
	r.Totals.AfterWait = 4800
	r.Expectations, r.Verdict = Judge(r, wants())
	return r
}

func wants() Wants {
	return Wants{
		Winners: 0.999, Goodput: 0.95, Settle: 5000, ServedP99: map[string]Millis{"buy": 1000, "page": 500}, AtOnceP99: 5,
		AfterWait: new(0.01), Failed: new(0.001), Needless: new(0.0005), SoldOut: true,
	}
}

func TestJSONComesBackAsItWent(t *testing.T) {
	for _, r := range []*Result{sample(30), {Seconds: []Second{{}}}} {
		var b strings.Builder
		if err := WriteJSON(&b, r); err != nil {
			t.Fatal(err)
		}
		var back Result
		if err := json.Unmarshal([]byte(b.String()), &back); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(*r, back) {
			t.Errorf("read back: %+v, want %+v", back, *r)
		}
	}
}

// TestEveryDurationNamesItsUnit: whoever reads the JSON years later must not guess.
func TestEveryDurationNamesItsUnit(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var walk func(typ reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Slice || typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ == reflect.TypeFor[time.Time]() {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			key := strings.Split(f.Tag.Get("json"), ",")[0]
			if ms := strings.HasSuffix(key, "_ms"); key == "" || ms != (f.Type == reflect.TypeFor[Millis]()) || f.Type == reflect.TypeFor[time.Duration]() {
				t.Errorf("%s.%s has key %q", typ.Name(), f.Name, key)
			}
			walk(f.Type)
		}
	}
	walk(reflect.TypeFor[Result]())
	if len(seen) < 15 {
		t.Errorf("walked %d types, want all", len(seen))
	}
}

func TestMillisAreMilliseconds(t *testing.T) {
	if m := Ms(1500 * time.Microsecond); m != 1.5 || m.Duration() != 1500*time.Microsecond {
		t.Errorf("1500 µs is %v, and back %v", m, m.Duration())
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{count(0), "0"}, {count(999), "999"}, {count(1000), "1,000"}, {count(-1234567), "-1,234,567"},
		{span(0), "0 ms"}, {span(0.3), "0.3 ms"}, {span(1.234), "1.23 ms"}, {span(12.34), "12.3 ms"}, {span(260.4), "260 ms"},
		{span(1000), "1 s"}, {span(61500), "61.5 s"}, {span(3600000), "3,600 s"},
		{percent(0.9996, places(1), true), "99.9 %"}, {percent(0.999, places(0.999), true), "99.9 %"}, {percent(1, 1, true), "100 %"},
		{percent(0.00051, places(0.0005), false), "0.06 %"}, {percent(0.0005, places(0.0005), false), "0.05 %"}, {percent(0, 2, false), "0 %"},
		{plain("a\x1b[31mb\u202ec"), "a?[31mb?c"}, {plain(strings.Repeat("x", 99)), strings.Repeat("x", 60) + "…"},
		{fmt.Sprint(width("手机 ok")), "7"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}
