package crowd

import (
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Tally is what became of a whole crowd. Histograms are in microseconds, and count from
// when a request was due.
type Tally struct {
	Classes  []string // of the plan's steps, in order of appearance
	Phases   []Span
	Took     time.Duration // from the first phase's start to the last outcome
	Arrivals int64         // visitors
	Requests int64

	Seconds  []Second
	Groups   []Group // every class, kind and reason that occurred; the most frequent first
	Journeys []Journey

	Lag         *hdrhistogram.Histogram // of our own sending behind the schedule
	Waited      int64                   // refusals that did not come at once
	Dials       int64
	Connections int // open at once, at the peak
}

// Span is where a phase lies, from the start of the run.
type Span struct {
	Name     string
	From, To time.Duration
}

// Second is one second of the run. Arrivals and lag count where they were due, outcomes
// where they came.
type Second struct {
	Arrivals int64         // visitors
	Due      int64         // requests
	Lag      time.Duration // the worst
	Open     int           // connections, at its end
	Reasons  map[string]int64
	Classes  []Moment // parallel to Tally.Classes
}

// Moment is one class in one second, or over several.
type Moment struct {
	Counts  [Kinds]int64
	Served  *hdrhistogram.Histogram // latency, two digits; nil: none
	Refused *hdrhistogram.Histogram
}

// Group is one class, kind and reason over the whole run.
type Group struct {
	Class   string
	Kind    Kind
	Reason  string
	Waited  bool // refusals that came after a wait are a group of their own
	Count   int64
	Latency *hdrhistogram.Histogram // three digits
}

// Journey is how far visitors got: all of one kind that had the same end.
type Journey struct {
	Visitor string
	Reached string // class of the last step that was served; "": none
	Through bool   // the script was walked to its end
	End     Kind   // of the last request
	Reason  string
	Count   int64
}
