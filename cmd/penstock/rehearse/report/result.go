// Package report says how a rehearsal went: as JSON for machines, as a table and progress
// lines for a terminal, and as one page with charts that needs nothing but a browser. It
// also compares what was measured with what was wanted, and says go or no go.
//
// It gives up what one second hides: the finest grain is a second, and of latencies a few
// percentiles. It measures nothing itself, opens no files and no connections, and whatever
// names a client or an origin sent are only ever text to it.
package report

import (
	"encoding/json"
	"io"
	"time"
)

// Shape is the version of the JSON below. It grows when a key changes its meaning; new
// keys alone do not change it.
const Shape = 1

// Millis is a duration in milliseconds. Its JSON keys end in _ms.
type Millis float64

// Ms is d in milliseconds.
func Ms(d time.Duration) Millis { return Millis(float64(d) / float64(time.Millisecond)) }

// Duration is m as Go counts it.
func (m Millis) Duration() time.Duration {
	return time.Duration(float64(m) * float64(time.Millisecond))
}

// Result is one rehearsal. Times within it count from the start of its first phase.
type Result struct {
	Shape    int       `json:"shape"`
	Sale     string    `json:"sale"`
	File     string    `json:"file"`
	Target   string    `json:"target"`  // host:port that the crowd went to
	Origin   string    `json:"origin"`  // what stood behind the gateway, in a few words
	Changes  []string  `json:"changes"` // what was played otherwise than the file says, a sentence each
	Seed     uint64    `json:"seed"`
	Command  string    `json:"command"` // that plays it again
	Started  time.Time `json:"started"`
	Took     Millis    `json:"took_ms"`
	Patience Millis    `json:"patience_ms"` // a useful answer that came later is not goodput

	Phases  []Phase  `json:"phases"`
	Faults  []Fault  `json:"faults"`
	Seconds []Second `json:"seconds"`

	Totals    Totals    `json:"totals"`
	Classes   []Class   `json:"classes"`
	Generator Generator `json:"generator"`
	Stock     Stock     `json:"stock"`
	Winners   Winners   `json:"winners"`

	Expectations []Expectation `json:"expectations"`
	Verdict      Verdict       `json:"verdict"`
}

// Phase is a stretch of the plan.
type Phase struct {
	Name    string  `json:"name"`
	From    Millis  `json:"from_ms"`
	To      Millis  `json:"to_ms"`
	Offered float64 `json:"offered_per_s"` // visitors per second that the plan wanted, on average
}

// Fault is something that was broken on purpose.
type Fault struct {
	What string `json:"what"` // "redis answers 500 ms late"
	From Millis `json:"from_ms"`
	To   Millis `json:"to_ms"` // 0: for the rest of the run
}

// Second is one second of the run; the first has number 0.
type Second struct {
	Arrivals int64             `json:"arrivals"`   // visitors
	Requests int64             `json:"requests"`   // due in it
	Answers  map[string]int64  `json:"answers"`    // ends of requests by reason: Penstock-Reason, or "status 503", "timeout", "left", …
	Goodput  int64             `json:"goodput"`    // useful answers within Patience
	Best     float64           `json:"best_per_s"` // what the origin can do at its best; 0: unknown
	Classes  map[string]Moment `json:"classes"`
	Gateway  *Gauges           `json:"gateway,omitempty"` // nil: it could not be asked
}

// Moment is one class of request in one second. A pair is nil where nothing was counted.
type Moment struct {
	Served  *Pair `json:"served,omitempty"`
	Refused *Pair `json:"refused,omitempty"` // at once or after a wait
}

// Pair are the two percentiles that are kept of a second.
type Pair struct {
	P50 Millis `json:"p50_ms"`
	P99 Millis `json:"p99_ms"`
}

// Gauges is what the gateway says of itself at the end of a second.
type Gauges struct {
	Limit    float64          `json:"limit"` // requests that may be in flight to the origin; 0: unknown
	InFlight float64          `json:"in_flight"`
	Queue    map[string]int64 `json:"queue"` // waiting, by priority
	Units    *Units           `json:"units,omitempty"`
}

// Units are the units of the sale by state.
type Units struct {
	Free      int64 `json:"free"`
	Reserved  int64 `json:"reserved"`
	Sending   int64 `json:"sending"`
	Sold      int64 `json:"sold"`
	Held      int64 `json:"held"`
	Withdrawn int64 `json:"withdrawn"`
}

// Sum is all of them: what was loaded, or the count is wrong.
func (u Units) Sum() int64 { return u.Free + u.Reserved + u.Sending + u.Sold + u.Held + u.Withdrawn }

// Totals are counts over the whole run.
type Totals struct {
	Arrivals  int64            `json:"arrivals"`
	Requests  int64            `json:"requests"`
	Answers   map[string]int64 `json:"answers"`    // ends of requests by reason
	Useful    int64            `json:"useful"`     // answers that were what the visitor came for
	Goodput   int64            `json:"goodput"`    // of those, within Patience
	Failed    int64            `json:"failed"`     // the shop failed, or nothing whole came in time
	AtOnce    int64            `json:"at_once"`    // refusals that did not wait
	AfterWait int64            `json:"after_wait"` // refusals that did
}

// Class is one class of request over the whole run.
type Class struct {
	Name      string  `json:"name"`
	Served    Latency `json:"served"`
	AtOnce    Latency `json:"refused_at_once"`
	AfterWait Latency `json:"refused_after_wait"`
}

// Latency sums up how long visitors waited, counted from when a request was due.
type Latency struct {
	Count int64  `json:"count"`
	P50   Millis `json:"p50_ms"`
	P90   Millis `json:"p90_ms"`
	P99   Millis `json:"p99_ms"`
	P999  Millis `json:"p99_9_ms"`
	Max   Millis `json:"max_ms"`
}

// Generator is how well we kept to our own plan. If we did not, the run proves nothing.
type Generator struct {
	LagP99     Millis `json:"lag_p99_ms"` // of sending behind the schedule
	LagMax     Millis `json:"lag_max_ms"`
	NotStarted int64  `json:"not_started"` // requests that could not be sent at all
}

// Stock is the audit at the end.
type Stock struct {
	Loaded   int64 `json:"loaded"` // units when the sale was opened; 0: the sale has no stock
	Units    Units `json:"units"`
	Orders   int64 `json:"orders"`   // units in orders that the shop says it has; -1: it cannot be asked
	Oversold int64 `json:"oversold"` // units in its orders beyond those loaded
}

// Winners are those who got a unit.
type Winners struct {
	Got     int64 `json:"got"`
	GaveUp  int64 `json:"gave_up"` // by their own will, before an end
	Reached int64 `json:"reached"` // the end: the order, or the thank-you page
}

// Expectation is one thing that was wanted, and what came.
type Expectation struct {
	Name string `json:"name"`
	Want string `json:"want"`
	Got  string `json:"got"`
	OK   bool   `json:"ok"`
	Why  string `json:"why"` // a sentence, more so where it is not OK
}

// Verdict is what all expectations come to.
type Verdict string

const (
	NoVerdict Verdict = "" // nothing was compared; not a go
	Go        Verdict = "go"
	NoGo      Verdict = "no go"
)

// WriteJSON writes r for machines.
func WriteJSON(w io.Writer, r *Result) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}
