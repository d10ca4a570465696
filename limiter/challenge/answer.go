package challenge

// The three things that happen to a challenge: it is made, it is answered, and the proof of
// that is shown again and again.

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"strings"
	"time"

	"penstock/proxy/gate"
	"penstock/rules"
)

const (
	maxRemote  = 8 << 10         // bytes of what a widget says; the longest known say 4 KB
	maxTyped   = 64              // bytes
	impatience = 5 * time.Second // with a provider whose rule has no timeout
)

// Puzzle makes a challenge of the level that is owed, for the account and the device; it
// costs some µs and no trip. Without a sale that challenges it is the zero Puzzle.
//
// Who shows neither an account nor a device can be told from nobody: what they solve would
// be good for all, so it is worth nothing.
func (d *Desk) Puzzle(f *gate.Facts, device string) gate.Puzzle {
	if f.Sale == nil || f.Sale.Challenge == nil {
		return gate.Puzzle{}
	}
	c := f.Sale.Challenge
	level, _, _ := d.owed(f)
	t := token{
		sale:    f.Sale.Name,
		account: d.names.name("account", f.Sale.Name, f.Account),
		device:  d.names.name("device", f.Sale.Name, device),
		level:   level,
		asked:   f.At,
		made:    f.At,
		until:   f.At.Add(min(c.Within, longest)),
	}
	rand.Read(t.nonce[:])
	p := gate.Puzzle{Level: level, Until: t.until, Wait: wait(c, level)}
	if c.Remote != nil && !(c.Remote.Outage == rules.WorkInstead && d.down(f.Sale.Name, f.At)) {
		t.ways, p.Remote = byRemote, c.Remote
	} else {
		t.ways = byWork
		t.parts, t.bits = price(c.Work, level, d.o.Load())
		p.Seed, p.Parts, p.Bits = seedOf(&t), int(t.parts), int(t.bits)
	}
	if p.Captcha = c.Captcha; p.Captcha {
		t.ways |= byImage
	}
	p.Token = d.challenges.close(&t, f.At)
	return p
}

// Answer judges one way of answering, of those that the challenge offers: the work if there
// is any, else what the widget said, else what was typed.
//
// Wrong work spends nothing, because it costs nothing to find it wrong, and trying again is
// the work. A wrong text does, or it could be guessed, and so does whatever a widget said,
// before its provider is asked, and even if that then cannot be asked: a provider is asked
// at most once for each challenge.
//
// One that comes before its wait is over is not looked at, and spends nothing. That is for what
// work cannot do: who has a thousand times the machine of a telephone is not first by it.
//
// A challenge made for no device may be answered from any: its account is in the token.
func (d *Desk) Answer(ctx context.Context, a gate.Answer) (gate.Solved, error) {
	now := time.Now()
	t, err := d.challenges.open(a.Token, now)
	if err != nil {
		return gate.Solved{}, err
	}
	s := (*d.sales.Load())[t.sale]
	switch {
	case s == nil, t.account == "" && t.device == "":
		return gate.Solved{}, gate.ErrForeign
	case t.device != "" && !same(t.device, d.names.name("device", t.sale, a.Device)):
		return gate.Solved{}, gate.ErrForeign
	case d.spent.Contains(t.nonce):
		return gate.Solved{}, gate.ErrSpent
	case s.rule.Least > 0 && now.Before(t.asked.Add(wait(s.rule, t.level))):
		return gate.Solved{}, gate.ErrEarlyAnswer
	}
	switch {
	case a.Work != "" && t.ways&byWork != 0:
		if !worked(seedOf(&t), a.Work, t.parts, t.bits) {
			return gate.Solved{}, gate.ErrWrongAnswer
		}
		err = d.claim(ctx, &t, now)
	case a.Remote != "" && t.ways&byRemote != 0:
		err = d.ask(ctx, &t, s, a, now)
	case a.Text != "" && t.ways&byImage != 0:
		err = d.compare(ctx, &t, s, a.Text, now)
	default:
		err = gate.ErrWrongAnswer
	}
	if err != nil {
		return gate.Solved{}, err
	}
	return d.solved(&t, s), nil
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// claim makes sure that this answer is the only one. It is remembered for longer than the
// challenge lasts by the slowest clock.
func (d *Desk) claim(ctx context.Context, t *token, now time.Time) error {
	if d.o.Claim == nil {
		return fmt.Errorf("%w: nobody remembers which challenges are spent", gate.ErrUnchecked)
	}
	id := t.nonce // its own memory: Claim may keep it
	first, err := d.o.Claim(ctx, id[:], t.until.Sub(now)+2*skew)
	if err != nil {
		return fmt.Errorf("%w: claim a challenge: %w", gate.ErrUnchecked, err)
	}
	d.spent.Add(t.nonce, struct{}{})
	if !first {
		return gate.ErrSpent
	}
	return nil
}

// compare judges what was typed, after it has been spent, so that nothing can be learned of
// a guess that does not count.
func (d *Desk) compare(ctx context.Context, t *token, s *sale, text string, now time.Time) error {
	if !s.rule.Captcha || len(text) > maxTyped {
		return gate.ErrWrongAnswer
	}
	if err := d.claim(ctx, t, now); err != nil {
		return err
	}
	want := d.digits(t, now)
	if !same(typed(text), string(want[:])) {
		return gate.ErrWrongAnswer
	}
	return nil
}

// ask lets the provider judge. It is given its whole time even if the client leaves: else
// clients could make it look as if it did not answer.
func (d *Desk) ask(ctx context.Context, t *token, s *sale, a gate.Answer, now time.Time) error {
	r := s.rule.Remote
	switch {
	case r == nil || !sayable(a.Remote):
		return gate.ErrWrongAnswer
	case d.o.Verify == nil:
		return fmt.Errorf("%w: no provider can be asked", gate.ErrUnchecked)
	case s.provider.down(now):
		return fmt.Errorf("%w: the provider is down", gate.ErrUnchecked)
	}
	if err := d.claim(ctx, t, now); err != nil {
		return err
	}
	timeout := r.Timeout
	if timeout <= 0 {
		timeout = impatience
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	ok, err := d.o.Verify(ctx, r, a.Remote, a.IP)
	s.provider.asked(time.Now(), err)
	switch {
	case err != nil:
		return fmt.Errorf("%w: %w", gate.ErrUnchecked, err)
	case !ok:
		return gate.ErrWrongAnswer
	}
	return nil
}

// sayable keeps from the provider what no widget says: a client that could make it stumble
// could make it look as if it were down.
func sayable(answer string) bool {
	return len(answer) <= maxRemote && !strings.ContainsFunc(answer, func(r rune) bool { return r <= ' ' || r > '~' })
}

// solved makes the proof.
func (d *Desk) solved(t *token, s *sale) gate.Solved {
	now, keep := time.Now(), min(s.rule.Clears, longest)
	p := token{
		sale: t.sale, account: t.account, device: t.device, level: t.level, nonce: t.nonce,
		asked: t.asked, made: now, until: now.Add(keep),
	}
	return gate.Solved{Sale: t.sale, Proof: d.clearances.close(&p, now), For: keep}
}

// proof is a clearance that has been verified, for whom it is.
type proof struct {
	sale, account, device string // device "": any
	until                 time.Time
	is                    gate.Clearance
}

// maxKept bounds what of a client is kept with a proof, bytes.
const maxKept = 256

// Cleared reads a proof. One that was read before costs a look, others some µs; only those
// that are right are remembered.
func (d *Desk) Cleared(text string, f *gate.Facts, device string) gate.Clearance {
	if text == "" || len(text) > maxText || f.Sale == nil {
		return gate.Clearance{}
	}
	p, known := d.proofs.Get(text)
	if !known {
		if p = d.read(text, f, device); p == nil {
			return gate.Clearance{}
		}
	}
	if p.sale != f.Sale.Name || p.account != f.Account || p.device != "" && p.device != device || !f.At.Before(p.until) {
		return gate.Clearance{}
	}
	return p.is
}

// read verifies a proof, and that it is theirs who show it.
func (d *Desk) read(text string, f *gate.Facts, device string) *proof {
	t, err := d.clearances.open(text, f.At)
	if err != nil || t.sale != f.Sale.Name || t.account == "" && t.device == "" ||
		!same(t.account, d.names.name("account", t.sale, f.Account)) ||
		t.device != "" && !same(t.device, d.names.name("device", t.sale, device)) {
		return nil
	}
	p := &proof{sale: t.sale, account: strings.Clone(f.Account), until: t.until, is: gate.Clearance{At: t.made, Asked: t.asked, Level: t.level}}
	if t.device != "" {
		p.device = strings.Clone(device)
	}
	if len(p.account)+len(p.device) <= maxKept {
		d.proofs.Add(strings.Clone(text), p)
	}
	return p
}

// wait is the soonest that an answer counts: as much again for each level, so that where everyone
// is asked, suspects by their own doing are still behind the others.
func wait(c *rules.Challenge, level uint8) time.Duration {
	return c.Least * time.Duration(1+level)
}
