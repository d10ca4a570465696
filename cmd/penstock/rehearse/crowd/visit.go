package crowd

import (
	"context"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"time"
)

// One visitor's walk through the script.

type visitor struct {
	crowd  *Crowd
	script *script
	person int
	id     uint64
	rnd    *rand.Rand

	account string
	address uint64
	ref     string
	cookies []string
	from    string // instead of address, of a guest; "": none
	body    string // instead of the step's

	oneShot, obeys, double bool
	patience               time.Duration

	wire, form []byte // memory for requests
	journey    Journey
}

// newVisitor draws everything about the visitor that does not depend on answers, always
// in the same order.
func (c *Crowd) newVisitor(id uint64) *visitor {
	v := &visitor{crowd: c, id: id, rnd: rand.New(rand.NewPCG(c.plan.Seed, id))}
	v.person = c.choose(v.rnd.Float64())
	v.script = &c.scripts[v.person]
	s := v.script
	v.account, v.address = strconv.FormatUint(id, 10), id
	if s.Sharing > 1 {
		v.address = v.rnd.Uint64N(uint64(c.expected)/uint64(s.Sharing) + 1)
	}
	v.oneShot = v.rnd.Float64() < s.OneShot
	v.obeys = v.rnd.Float64() < s.Obey
	v.double = v.rnd.Float64() < s.Double
	v.patience = s.Patience
	if early := v.rnd.Float64(); v.rnd.Float64() < s.Leave {
		v.patience = time.Duration(early * float64(s.Patience))
	}
	for _, t := range s.cookies {
		v.cookies = append(v.cookies, string(t.fill(nil, v)))
	}
	v.journey.Visitor = s.Name
	return v
}

// walk is the visitor's whole stay, from when it was due.
func (v *visitor) walk(due time.Duration) {
	steps := v.script.steps
	for i := range steps {
		l := &steps[i]
		for n := range v.times(l) {
			if i+n > 0 {
				due = v.crowd.now() + v.exponential(l.Think)
				if n > 0 && due >= v.crowd.last {
					break // nobody goes on looking for the sake of it when the last have come
				}
				if !v.crowd.sleepUntil(due) {
					v.end(false)
					return
				}
			}
			kind, still := v.step(due, i, n > 0)
			if kind == Served {
				v.journey.Reached = l.Class
			}
			if !still || kind != Served && !l.Optional {
				v.end(false)
				return
			}
		}
	}
	v.end(true)
}

func (v *visitor) end(through bool) {
	v.journey.Through = through
	v.crowd.book.ended(&v.journey)
}

// times is how often the visitor takes a step.
func (v *visitor) times(l *line) int {
	if l.Tail <= 0 {
		return 1
	}
	return int(min(float64(l.Times), math.Pow(1-v.rnd.Float64(), -1/l.Tail)))
}

func (v *visitor) exponential(mean time.Duration) time.Duration {
	return time.Duration(v.rnd.ExpFloat64() * float64(mean))
}

// step asks until it is served, or there is no point in asking again. still is false
// when the visitor has gone.
func (v *visitor) step(due time.Duration, i int, repeat bool) (kind Kind, still bool) {
	l := &v.script.steps[i]
	pressed := !v.double || l.Method != "POST" || l.Elsewhere
	for try, retries := 0, v.script.Retries; ; try++ {
		o := Outcome{Visitor: v.id, Person: v.person, Step: i, Try: try, Due: due, Repeat: repeat}
		a := v.ask(&o, l, pressed)
		v.crowd.book.record(&o, l.class)
		v.journey.End, v.journey.Reason = o.Kind, o.Reason
		if o.Kind == Left && !pressed && o.Reason == pressedAgain {
			pressed = true
			due = v.crowd.now()
			continue
		}
		switch o.Kind {
		case Served, Declined:
			return o.Kind, true
		case Left, Trouble:
			return o.Kind, false
		}
		wait, again := v.wait(&o, a)
		if retries--; retries < 0 || !again {
			return o.Kind, true
		}
		if due = o.Done + wait; due >= v.crowd.last && v.journey.Reached == "" {
			return o.Kind, false // who has got nothing yet does not come back to an empty place
		}
		if !v.crowd.sleepUntil(due) {
			return o.Kind, false
		}
	}
}

// wait is how long until the visitor asks again, if they do.
func (v *visitor) wait(o *Outcome, a *Answer) (time.Duration, bool) {
	if !v.obeys {
		return v.exponential(v.script.Pause), true
	}
	switch {
	case a == nil:
		return v.exponential(v.script.Pause), true
	case a.HasRetry:
		return a.RetryAfter, true
	}
	return 0, o.Kind == Failed // nobody said not to
}

// AtTheEnd is the reason of those who had not left by their own will when the run was over.
const AtTheEnd = "still waiting at the end"

const pressedAgain = "pressed again"

// ask sends one request and waits for its answer. The answer is valid until the next
// one; nil: there was none.
func (v *visitor) ask(o *Outcome, l *line, pressed bool) *Answer {
	c := v.crowd
	limit, why, kind := c.plan.Timeout, "", Timeout
	if v.patience > 0 && v.patience < limit && !l.Elsewhere {
		limit, kind = v.patience, Left
	}
	if !pressed && v.script.Click < limit {
		limit, kind, why = v.script.Click, Left, pressedAgain
	}
	until := o.Due + limit
	if c.ends < until {
		until, kind, why = c.ends, Left, AtTheEnd
	}
	v.wire = v.request(v.wire, l)
	var a *Answer
	var err error
	for fresh := v.oneShot || l.Elsewhere; ; fresh = true {
		o.Sent = c.now()
		if o.Sent >= until {
			o.Done = o.Sent
			if o.Kind, o.Reason = kind, why; kind == Timeout {
				o.Kind, o.Reason = Trouble, "late"
			}
			if o.Reason == "" {
				o.Reason = kind.String()
			}
			return nil
		}
		var again bool
		if a, again, err = v.try(o, l, fresh, c.began.Add(until)); !again {
			break
		}
	}
	o.Done = c.now()
	switch {
	case a != nil:
		c.class(o, l, a)
	case outOfTime(err):
		if o.Kind, o.Reason = kind, why; c.ctx.Err() != nil {
			o.Kind, o.Reason = Left, AtTheEnd
		}
	default:
		o.Kind, o.Reason = lost(err)
	}
	if o.Reason == "" {
		o.Reason = o.Kind.String()
	}
	return a
}

// outOfTime reports whether we gave up. Dialling has words of its own for it.
func outOfTime(err error) bool {
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// try sends the request over one connection. again: the server closed a kept connection
// just when we used it, which is no fault of anybody's, and nothing forbids to ask again.
func (v *visitor) try(o *Outcome, l *line, fresh bool, deadline time.Time) (a *Answer, again bool, err error) {
	c := v.crowd
	k, err := c.pool.take(c.ctx, fresh, deadline)
	if err != nil {
		return nil, false, err
	}
	c.pool.arm(k, deadline)
	if err = k.exchange(v.wire, l.Method == "HEAD"); err != nil {
		again = k.used && !k.reply.begun && l.Method == "GET" && !outOfTime(err)
		c.pool.drop(k)
		return nil, again, err
	}
	r := &k.reply
	v.learn(l, r)
	answer := r.Answer // its bytes go with the connection, which may be another's before they are looked at
	answer.Location, answer.Reason, answer.Body = v.keep(l, r)
	c.pool.done(k, !fresh && !r.closes)
	return &answer, false, nil
}

// keep copies of an answer what is looked at later.
func (v *visitor) keep(l *line, r *reply) (location, reason, body []byte) {
	reason = append([]byte(nil), r.Reason...)
	if l.Good != nil {
		location, body = append([]byte(nil), r.Location...), append([]byte(nil), r.Body...)
	}
	return location, reason, body
}

// learn takes from an answer what the visitor goes on with.
func (v *visitor) learn(l *line, r *reply) {
	if !l.Elsewhere {
		for _, set := range r.cookies {
			v.remember(set)
		}
	}
	if l.Ref == nil {
		return
	}
	for _, text := range [][]byte{r.Location, r.Body} {
		if m := l.Ref.FindSubmatch(text); m != nil {
			v.ref = string(m[len(m)-1])
			return
		}
	}
}

// class says what kind of answer it is.
func (c *Crowd) class(o *Outcome, l *line, a *Answer) {
	o.Status, o.Reason = a.Status, string(a.Reason)
	admitted := o.Reason == "admitted"
	good := a.Status >= 200 && a.Status <= 399
	if l.Good != nil && a.Status < 500 {
		good = l.Good(a)
	}
	switch {
	case len(a.Reason) > 0 && !admitted && shopFailed(o.Reason):
		o.Kind = Failed
	case len(a.Reason) > 0 && !admitted, !admitted && (a.Status == 429 || a.Status == 503):
		o.Kind = Refused
		o.Waited = o.Done-o.Sent > c.plan.Wait
	case a.Status >= 500:
		o.Kind = Failed
	case good:
		o.Kind = Served
	default:
		o.Kind = Declined
	}
	if o.Reason == "" || admitted && o.Kind != Served {
		o.Reason = "status " + strconv.Itoa(a.Status)
	}
}

// lost says what it means that no answer came.
func lost(err error) (Kind, string) {
	switch {
	case errors.Is(err, errFull):
		return Trouble, "no connection left"
	case errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.ENOBUFS):
		return Trouble, "no socket left"
	case errors.Is(err, errMalformed):
		return Reset, "malformed"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Reset, ""
	}
	return Unreached, ""
}
