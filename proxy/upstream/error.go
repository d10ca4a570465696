package upstream

// What went wrong, and what it says about the request. It does not map errors to
// answers: that is the caller's.

import (
	"errors"
	"fmt"
	"net"
)

// The step at which an exchange failed, as it stands in Error.Op.
const (
	OpDial   = "dial origin"
	OpBody   = "read request body" // the client's fault, not the origin's
	OpWrite  = "write request"
	OpHead   = "read head of answer"
	OpAnswer = "read body of answer"
)

// Error is why an exchange failed. Its zero value is the careful one: the origin may
// have the request.
type Error struct {
	Op      string
	Unsent  bool // proven: not one byte of the request was written
	Timeout bool
	Err     error
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Op, e.Err) }

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Unsent reports whether err proves that nothing was sent; any error it does not know
// proves nothing.
func Unsent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Unsent
}

// badAnswer is an answer that HTTP/1.1 does not allow, or that leaves doubt where it ends.
type badAnswer string

func (b badAnswer) Error() string { return "bad answer: " + string(b) }

func timedOut(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
