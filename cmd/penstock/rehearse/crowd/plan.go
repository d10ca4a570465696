// Package crowd sends people to a web server: in an open loop, on a schedule that is
// made from a seed and never waits for an answer, so that a server that stalls is seen
// to stall. Latency counts from when a request was due, not from when we got round to
// sending it.
//
// It knows nothing of the gateway but one header, Penstock-Reason, and works as well
// without: the same crowd is sent to other proxies and to bare shops, to compare.
//
// It gives up what browsers do beyond HTTP/1.1 without TLS, and everything it has no use
// for: it reads no HTML, follows no redirect by itself, and fetches no images. It does
// not slow down when its own machine cannot keep up; it says so instead (Tally.Lag,
// Trouble), and then the run proves nothing.
package crowd

import (
	"regexp"
	"time"
)

// Plan is one crowd: who comes, when, and what they do. It is only read.
type Plan struct {
	Target   string // host:port, or unix:/PATH
	Host     string // what requests say in Host; "": the target
	Seed     uint64 // the same seed makes the same schedule and the same people
	Names    string // begins every {account}: another one makes other people
	Phases   []Phase
	Visitors []Visitor

	Connections int           // open at once, at most; 0: 4096. What would need more is Trouble
	Timeout     time.Duration // for one answer, however patient a visitor is; 0: 60s
	Grace       time.Duration // after the last phase, for those who are still inside; 0: 10s
	Wait        time.Duration // a refusal that took longer came after a wait; 0: 50ms
}

// Phase is a stretch of time and how many visitors arrive in it, as a Poisson process.
// A visitor is one or more requests, as the script says.
type Phase struct {
	Name  string
	For   time.Duration
	Shape Shape
	Rate  float64 // visitors per second

	From  float64       // Ramp: the rate at its start; Spikes: the rate between them
	Every time.Duration // Spikes: from one to the next
	Width time.Duration // Spikes: how long each lasts
}

// Shape is how the rate goes within a phase.
type Shape uint8

const (
	Flat   Shape = iota // Rate, all the time
	Ramp                // from From to Rate, in a straight line
	Spikes              // Rate for Width at the start of every Every, else From
)

// Visitor is a kind of visitor: a script, and a temper. In Cookies, Header, and a step's
// Path, Body and Header, {account} stands for a name that no other visitor has, {address} for an
// IPv4 address of their own, and {ref} for what a step's Ref has found.
type Visitor struct {
	Name    string
	Weight  float64 // how many of them among all; the only kind may leave it 0
	Steps   []Step
	Cookies []string // name=value, from the start; what the server sets is kept besides
	Header  []string // whole lines, e.g. "X-Forwarded-For: {address}"

	OneShot  float64       // share who close the connection after each answer
	Patience time.Duration // how long they look at an unanswered request before they leave; 0: the plan's Timeout
	Leave    float64       // share who leave earlier, at any moment before Patience
	Double   float64       // share who press twice: a POST that has no answer after Click is abandoned and sent again
	Click    time.Duration // 0: 150ms

	Retries int           // how often they try one step again that was refused or failed; not after the last phase if nothing was served yet
	Obey    float64       // share who come back when Retry-After says, and only if it is there
	Pause   time.Duration // mean of how long the others wait, exponentially; 0: 500ms

	Sharing int // visitors to one {address}, on average; 0: 1
}

// Step is one request of a script. A step that was not served ends the walk when there
// are no retries left, unless it is Optional.
type Step struct {
	Class  string // what it counts as: "page", "buy", "order", "thanks", …
	Method string
	Path   string
	Body   string   // sent as a form, or as JSON if it begins with {"
	Accept string   // "": */*
	Header []string // more lines, also where somebody else sends it

	Think     time.Duration        // mean of the pause before it, exponentially; the first step has none
	Good      func(a *Answer) bool // whether the answer is what the visitor came for; nil: 200–399
	Ref       *regexp.Regexp       // its first group, in Location or else in the body, becomes {ref}
	Elsewhere bool                 // sent by somebody else: another connection, none of the visitor's cookies and headers
	Optional  bool                 // the walk goes on whatever comes of it

	Tail  float64 // > 0: repeated as often as a Pareto law of this index says, with Think between
	Times int     // at most so often; 0: 50. No repetition begins after the last phase
}

// Answer is what Good sees. The bytes are borrowed.
type Answer struct {
	Status     int
	Reason     []byte // of Penstock-Reason; empty: there was none
	Location   []byte
	Body       []byte // the first 16 KiB
	RetryAfter time.Duration
	HasRetry   bool
}
