package crowd

import "time"

// What can become of a request, and what is told of it.

// Kind is what became of one request.
type Kind uint8

const (
	Trouble   Kind = iota // ours: it could not be sent. A run with more than a few proves nothing
	Served                // what the visitor came for
	Declined              // an answer of the shop that is not: a 4xx, or a page that says no
	Refused               // turned away before the shop: by a reason of the gateway's, or with 429 or 503
	Failed                // any other 5xx, or a reason that says the shop failed
	Unreached             // the connection was not accepted
	Reset                 // it broke before the answer was whole
	Timeout               // no answer in Plan.Timeout
	Left                  // the visitor's patience ended first
	Kinds
)

// String is a word for tables.
func (k Kind) String() string {
	if k >= Kinds {
		return "unknown"
	}
	return [Kinds]string{"trouble", "served", "declined", "refused", "failed", "unreached", "reset", "timeout", "left"}[k]
}

// Outcome is what became of one request. Times count from the start of the run.
type Outcome struct {
	Visitor uint64 // counts from 1, in order of arrival
	Person  int    // index in Plan.Visitors
	Step    int    // index in Visitor.Steps
	Try     int    // 0: the first
	Kind    Kind
	Status  int    // 0: no answer
	Reason  string // the gateway's; else "status 503" and the like, or the kind's word
	Due     time.Duration
	Sent    time.Duration // Sent - Due is our own lag
	Done    time.Duration
	Waited  bool // a refusal that did not come at once
	Repeat  bool // on a step that was asked before, for Tail
}

// Latency is how long the visitor waited, counted from when the request was due.
func (o *Outcome) Latency() time.Duration { return o.Done - o.Due }

// shopFailed are the gateway's reasons that are not refusals: the shop has failed, or
// we did.
func shopFailed(reason string) bool {
	switch reason {
	case "origin_failed", "origin_timeout", "origin_unreachable", "internal":
		return true
	}
	return false
}
