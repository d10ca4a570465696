package behaviour

import (
	"testing"
	"time"

	"penstock/rules"
)

// TestMoved: whoever asks while few people do, and comes from elsewhere than before.
func TestMoved(t *testing.T) {
	ms := time.Millisecond
	for _, c := range []struct {
		after     time.Duration
		elsewhere bool
		want      int
	}{{-ms, true, 0}, {0, true, 35}, {299 * ms, true, 35}, {300 * ms, true, 0}, {50 * ms, false, 0}} {
		sale := sale(rules.Behaviour{Moved: 35, Fastest: 100 * ms})
		p := newPerson(New(), sale, "c:a")
		p.seen.Elsewhere = c.elsewhere
		if got := p.asks(c.after); got != c.want {
			t.Errorf("%v after the opening, from elsewhere %v: %d points, want %d", c.after, c.elsewhere, got, c.want)
		}
		for _, after := range []time.Duration{time.Minute, 9 * time.Minute} { // moving later is nothing
			p.seen.Elsewhere = true
			if got := p.asks(after); got != c.want {
				t.Errorf("%v after that: %d points, want %d", after, got, c.want)
			}
		}
		if got := p.asks(10 * time.Minute); got != 0 {
			t.Errorf("after the window: %d points", got)
		}
	}
	p := newPerson(New(), sale(rules.Behaviour{Moved: 35, Fastest: 100 * ms}), "c:a")
	p.seen.Elsewhere = true
	p.want(t, 35, "35: asked within 300ms of the opening, from another network than before")
}

// TestAnOpeningThatIsPutOff: what was soon after it is nothing before the one that comes, or after.
func TestAnOpeningThatIsPutOff(t *testing.T) {
	sale := sale(rules.Behaviour{Moved: 35, Reaction: 40, Fastest: 100 * time.Millisecond})
	p := newPerson(New(), sale, "c:a")
	p.seen.Elsewhere = true
	if got := p.asks(50 * time.Millisecond); got != 75 {
		t.Errorf("%d points, want 75", got)
	}
	p.seen.Elsewhere = false
	sale.Opens = opens.Add(5 * time.Minute)
	if got := p.asks(time.Minute); got != 0 {
		t.Errorf("%d points before the opening that it was put off to", got)
	}
	if got := p.asks(6 * time.Minute); got != 0 {
		t.Errorf("%d points after the opening that it was put off to", got)
	}
}

func TestTogether(t *testing.T) {
	p := newPerson(New(), sale(rules.Behaviour{Together: 60}), "c:a")
	p.want(t, 0, "")
	p.seen.Together = 17
	p.want(t, 60, "60: 17 accounts of its address or network first asked together, sooner after the opening than so many people do")
}
