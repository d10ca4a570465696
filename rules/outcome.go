package rules

// What an answer of the origin is asked, to learn what became of the unit.

// Outcome is what the origin's answer means for the unit.
type Outcome uint8

const (
	OutcomeUnknown Outcome = iota // keeps the unit
	OutcomeSold
	OutcomeFree
)

// String is the name used in logs and metrics.
func (o Outcome) String() string {
	return [...]string{"unknown", "sold", "free"}[min(o, OutcomeFree)]
}

// Answered is one condition on the origin's answer; all of its set fields must hold.
type Answered struct {
	Status       []StatusRange     // any of them; empty: any status
	Location     string            // glob over the Location header, "*" stands for any run; "": not asked
	Header       map[string]string // name → glob; the header must be present and match
	BodyContains []byte            // nil: not asked
}

// StatusRange is an inclusive range of status codes.
type StatusRange struct{ From, To int }

// OriginAnswer is the origin's answer, as far as a rule looks at it.
type OriginAnswer struct {
	Status int
	Header func(name string) (value string, present bool) // names are compared without case
	Body   []byte
}
