package matrix

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/adaptivelimiter"

	"penstock/proxy/gate"
	"penstock/rules"
	"penstock/shedder"
)

// What stands between the crowd and the origin.

type limiter interface {
	place(f *gate.Facts) bool                     // at once, without keeping f
	slot(ctx context.Context, f *gate.Facts) bool // after a wait; false: the place is given back
	done(f *gate.Facts, end gate.End)
	limit() int
	run(ctx context.Context) // for as long as the gateway lives
}

// outside is what a limiter may know of the world.
type outside struct {
	wall   func() time.Time
	moved  func(reason string)
	knee   int // remembered; 0: none
	shared bool
}

const (
	mostSlots       = 1000
	queueWait       = 500 * time.Millisecond
	winnersWait     = 30 * time.Second
	responseTimeout = 5 * time.Second
)

// newLimiter makes one by name: ours, knee (ours, which remembers the best limit), a
// number (ours with that as its fixed limit), none, failsafe, failsafe-fast.
func newLimiter(name string, out outside) (limiter, error) {
	o := rules.Origin{
		MaxConcurrency: mostSlots, QueueDepth: 500, QueueMaxWait: queueWait,
		WinnersMaxWait: winnersWait, ResponseTimeout: responseTimeout,
	}
	switch name {
	case "ours":
		out.knee = 0
		return newOurs(o, out), nil
	case "knee":
		return newOurs(o, out), nil
	case "none":
		return none{}, nil
	case "failsafe":
		return newFailsafe(time.Second, 50, out), nil
	case "failsafe-fast":
		return newFailsafe(100*time.Millisecond, 20, out), nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "fixed"))
	if err != nil || n <= 0 {
		return nil, fmt.Errorf("make limiter: there is no %q", name)
	}
	o.Concurrency, o.MaxConcurrency = n, max(n, mostSlots)
	return newOurs(o, out), nil
}

// ours is the shedder. This is the only place that knows how it is made.
type ours struct {
	*shedder.Shedder
	places, slots gate.Gate
}

func newOurs(o rules.Origin, out outside) limiter {
	s := shedder.New(o, shedder.Outside{
		Wall: out.wall, Shared: out.shared, Remembered: shedder.Remembered{Limit: out.knee},
		Moved: func(m shedder.Move) {
			if out.moved != nil {
				out.moved(fmt.Sprintf("%s %.0f→%.0f (n %.0f x %.0f I %.2f e %.2f±%.2f)", m.Why, m.From, m.To, m.InFlight, m.Throughput, m.Inflation, m.Elasticity, m.Error))
			}
		},
	})
	return &ours{s, s.Places(), s.Slots()}
}

func (l *ours) run(ctx context.Context)  { l.Run(ctx) }
func (l *ours) limit() int               { return int(l.Stats().Level + .5) }
func (l *ours) place(f *gate.Facts) bool { return l.places.Admit(context.Background(), f).OK() }

func (l *ours) slot(ctx context.Context, f *gate.Facts) bool {
	if l.slots.Admit(ctx, f).OK() {
		return true
	}
	l.places.Release(f, gate.End{Kind: gate.Refused})
	return false
}

func (l *ours) done(f *gate.Facts, end gate.End) {
	l.slots.Release(f, end)
	l.places.Release(f, end)
}

// none is no limiter at all.
type none struct{}

func (none) place(*gate.Facts) bool                 { return true }
func (none) slot(context.Context, *gate.Facts) bool { return true }
func (none) done(*gate.Facts, gate.End)             {}
func (none) limit() int                             { return 0 }
func (none) run(context.Context)                    {}

// failsafe is failsafe-go's adaptive limiter with its own queueing, its ceiling raised to
// ours. A permit is recorded when the origin answered well within the response timeout,
// and dropped otherwise.
type failsafe struct {
	l       adaptivelimiter.AdaptiveLimiter[any]
	mu      sync.Mutex
	permits map[*gate.Facts]adaptivelimiter.Permit
	limited atomic.Int64
}

func newFailsafe(window time.Duration, samples uint, out outside) limiter {
	f := &failsafe{permits: map[*gate.Facts]adaptivelimiter.Permit{}}
	f.l = adaptivelimiter.NewBuilder[any]().
		WithLimits(1, mostSlots, 20).
		WithRecentWindow(window, 30*window, samples).
		WithQueueing(2, 3).
		WithMaxWaitTime(queueWait).
		OnLimitChanged(func(e adaptivelimiter.LimitChangedEvent) {
			f.limited.Store(int64(e.NewLimit))
			if out.moved != nil {
				out.moved(fmt.Sprintf("%d→%d", e.OldLimit, e.NewLimit))
			}
		}).
		Build()
	f.limited.Store(20)
	return f
}

func (f *failsafe) run(context.Context)    {}
func (f *failsafe) limit() int             { return int(f.limited.Load()) }
func (f *failsafe) place(*gate.Facts) bool { return int64(f.l.Queued()) < 3*f.limited.Load() }

func (f *failsafe) slot(ctx context.Context, facts *gate.Facts) bool {
	p, err := f.l.AcquirePermit(ctx)
	if err != nil {
		return false
	}
	f.mu.Lock()
	f.permits[facts] = p
	f.mu.Unlock()
	return true
}

func (f *failsafe) done(facts *gate.Facts, end gate.End) {
	f.mu.Lock()
	p := f.permits[facts]
	delete(f.permits, facts)
	f.mu.Unlock()
	if end.Kind == gate.Answered && end.Status < http.StatusInternalServerError && end.Took < responseTimeout {
		p.Record()
		return
	}
	p.Drop()
}
