package gate

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"penstock/rules"
)

// What can be wrong with the answer to a challenge.
var (
	ErrWrongAnswer = errors.New("the answer is wrong")
	ErrEarlyAnswer = errors.New("the answer is to be sent again later: nobody may answer so soon")
	ErrLateAnswer  = errors.New("the challenge has run out")
	ErrSpent       = errors.New("the challenge has been answered before")
	ErrForeign     = errors.New("the challenge is not one of ours, or somebody else's")
	ErrUnchecked   = errors.New("the answer cannot be checked right now")
)

// Puzzle is one challenge, ready to be shown.
//
// Proof of work is, for each part i from 0 to Parts-1, a number n below 2^53 such that the
// SHA-256 of Seed ":" i ":" n, in ASCII and decimal, begins with Bits zero bits.
type Puzzle struct {
	Token   string // goes back with the answer
	Level   uint8
	Until   time.Time     // answered by then
	Wait    time.Duration // and no sooner than so long from now
	Seed    string        // of a proof of work; "": none is asked for
	Parts   int
	Bits    int
	Captcha bool          // Image and Sound of Token may be asked for
	Remote  *rules.Remote // whose widget is shown instead of proof of work; nil: nobody's
}

// Answer is what came back.
type Answer struct {
	Token  string
	Work   string     // Parts decimal numbers with commas between
	Text   string     // what was read in the image
	Remote string     // what the widget said
	Device string     // whose browser asks; "": no cookies
	IP     netip.Addr // from where; it need not be from where the challenge went
}

// Solved is what a right answer is worth.
type Solved struct {
	Sale  string
	Proof string        // shown with later requests, by the same account and device
	For   time.Duration // how long it counts
}

// Challenger makes challenges and judges answers. A device is one browser, by a cookie of
// ours; "" stands for clients that keep none, and then the account alone must be the same.
type Challenger interface {
	// Puzzle is for who asks with f. It may be called again, and makes another each time.
	Puzzle(f *Facts, device string) Puzzle

	// Image is a PNG and Sound a WAV of what is to be typed.
	Image(token string) ([]byte, error)
	Sound(token string) ([]byte, error)

	// Answer judges, once: whatever it says of an answer that could be checked, the same
	// challenge is not judged again, by any gateway. It makes at most one trip to the store.
	Answer(ctx context.Context, a Answer) (Solved, error)

	// Cleared reads a proof that is shown with f; zero: it is worth nothing to them.
	Cleared(proof string, f *Facts, device string) Clearance
}
