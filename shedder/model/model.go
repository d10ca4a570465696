// Package model is a shelf of modelled shops: origins that behave like the ones a gateway
// meets in front of a legacy system, for tests in virtual time and for rehearsals in real
// time.
//
// A model knows processor sharing, worker processes with a backlog behind them, time that
// passes without the processor, a pool or a lock that everybody needs, and what too much
// concurrency costs. Work that was handed to it is done, whether or not somebody still
// waits for the answer: that is how the origins behave that a gateway must protect.
//
// It gives up everything that an answer says beyond its status, and it costs a timer per
// event, so that it is exact: no steps, no sampling. It knows no HTTP.
package model

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// ErrRefused is an origin that did not accept the connection: nothing was sent.
var ErrRefused = errors.New("connection refused")

// Request is what one request costs.
type Request struct {
	Cost  float64 // processor time, as a multiple of this origin's usual page; 0: 1
	Claim bool    // needs what everybody needs: always the pool or the lock, where there is one
}

// Answer is what came of it.
type Answer struct {
	Status int   // of an answer
	Err    error // instead of one
}

// Origin is a modelled shop. It is made by New and is safe for use by many goroutines.
type Origin struct {
	shape
	mu      sync.Mutex
	r       *rand.Rand
	began   time.Time
	at      time.Time // the state below is that of this moment
	work    float64   // seconds of processor every job at the processor has been given
	running jobs      // at the processor, by the work at which they are done
	passing jobs      // elsewhere, by the time (seconds since began) at which that ends
	held    int       // of the pool
	pool    []*job    // waiting for it
	busy    int       // workers
	backlog []*job
	timer   *time.Timer
	ended   []*job // to be answered as soon as the lock is free
}

type job struct {
	Request
	until  float64
	stage  stage
	done   func(Answer)
	answer Answer
}

type stage uint8

const (
	waitsElsewhere stage = iota // for a disk, another service, a slow client
	computes
	holdsPool
	fails // answers without having worked
)

// Serve hands the origin a request and waits for the answer. If ctx ends first the origin
// works on.
func (o *Origin) Serve(ctx context.Context, r Request) Answer {
	answered := make(chan Answer, 1)
	o.Do(r, func(a Answer) { answered <- a })
	select {
	case a := <-answered:
		return a
	case <-ctx.Done():
		return Answer{Err: ctx.Err()}
	}
}

// Do is Serve without waiting: done is called with the answer, from any goroutine, once.
func (o *Origin) Do(r Request, done func(Answer)) {
	if r.Cost == 0 {
		r.Cost = 1
	}
	j := &job{Request: r, done: done, answer: Answer{Status: http.StatusOK}}
	o.mu.Lock()
	o.advance(time.Now())
	inside := o.busy + len(o.backlog)
	switch {
	case o.refusesAt > 0 && inside >= o.refusesAt, inside >= o.workers+o.spare, o.down.has(o.age()):
		j.answer = Answer{Err: ErrRefused}
		o.ended = append(o.ended, j)
	case o.failsAt > 0 && inside >= o.failsAt:
		j.stage, j.answer.Status = fails, http.StatusServiceUnavailable
		j.until = o.age().Seconds() + fastFailure.Seconds()
		o.passing.push(j)
	case o.busy >= o.workers:
		o.backlog = append(o.backlog, j)
	default:
		o.start(j)
	}
	o.settle()
}

// start gives a job a worker.
func (o *Origin) start(j *job) {
	o.busy++
	if o.elsewhere == nil {
		o.compute(j)
		return
	}
	j.stage = waitsElsewhere
	j.until = o.age().Seconds() + o.elsewhere(o.r)*o.slower.at(o.age(), 1)
	o.passing.push(j)
}

func (o *Origin) compute(j *job) {
	j.stage = computes
	j.until = o.work + o.demand(o.r)*j.Cost
	o.running.push(j)
}

// computed moves a job on from the processor.
func (o *Origin) computed(j *job) {
	if o.places == 0 || !j.Claim && o.r.Float64() >= o.needPool {
		o.end(j)
		return
	}
	if o.held < o.places {
		o.hold(j)
		return
	}
	o.pool = append(o.pool, j)
}

func (o *Origin) hold(j *job) {
	o.held++
	j.stage = holdsPool
	j.until = o.age().Seconds() + o.holding(o.r)
	o.passing.push(j)
}

func (o *Origin) end(j *job) {
	o.busy--
	o.ended = append(o.ended, j)
	if len(o.backlog) > 0 {
		next := o.backlog[0]
		o.backlog[0], o.backlog = nil, o.backlog[1:]
		o.start(next)
	}
}

func (o *Origin) age() time.Duration { return o.at.Sub(o.began) }

// pace is how much processor time each job at the processor gets per second.
func (o *Origin) pace() float64 {
	p := o.speed.at(o.age(), 1)
	if o.thrash != nil {
		p *= o.thrash(o.busy)
	}
	if n := float64(len(o.running)); n > o.cores {
		p *= o.cores / n
	}
	return p
}

// advance brings the state to now. Nothing ends or changes between two calls, because
// the timer is set to the first moment at which something would; a timer that comes late
// moves that moment, by no more than its lateness.
func (o *Origin) advance(now time.Time) {
	o.work += o.pace() * now.Sub(o.at).Seconds()
	o.at = now
	const soon = 2e-9 // what a timer in whole nanoseconds can miss by
	for len(o.running) > 0 && o.running[0].until <= o.work+soon {
		o.computed(o.running.pop())
	}
	for len(o.passing) > 0 && o.passing[0].until <= o.age().Seconds()+soon {
		j := o.passing.pop()
		switch j.stage {
		case waitsElsewhere:
			o.compute(j)
		case holdsPool:
			o.held--
			if len(o.pool) > 0 {
				next := o.pool[0]
				o.pool[0], o.pool = nil, o.pool[1:]
				o.hold(next)
			}
			o.end(j)
		case fails:
			o.ended = append(o.ended, j)
		}
	}
}

// settle sets the timer, gives up the lock and tells those who waited.
func (o *Origin) settle() {
	next := time.Duration(1<<63 - 1)
	if p := o.pace(); len(o.running) > 0 && p > 0 {
		next = seconds((o.running[0].until - o.work) / p)
	}
	if len(o.passing) > 0 {
		next = min(next, seconds(o.passing[0].until-o.age().Seconds()))
	}
	if len(o.running) > 0 {
		next = min(next, o.speed.next(o.age()))
	}
	if next < 1<<62 {
		o.timer.Reset(max(next, 0) + 1)
	}
	ended := o.ended
	o.ended = nil
	o.mu.Unlock()
	for _, j := range ended {
		j.done(j.answer)
	}
}

func (o *Origin) fire() {
	o.mu.Lock()
	o.advance(time.Now())
	o.settle()
}

// Capacity is the requests/s of the usual kind that the origin can answer at a moment of
// its life, with the concurrency it likes best.
func (o *Origin) Capacity(age time.Duration) float64 {
	return o.capacity * o.speed.at(age, 1)
}

func seconds(s float64) time.Duration {
	if s > 1e8 {
		return 1<<63 - 1
	}
	return time.Duration(s * float64(time.Second))
}

// jobs is a heap by until. container/heap would do the same with an interface per call.
type jobs []*job

func (h *jobs) push(j *job) {
	*h = append(*h, j)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if s[parent].until <= s[i].until {
			return
		}
		s[parent], s[i] = s[i], s[parent]
		i = parent
	}
}

func (h *jobs) pop() *job {
	s := *h
	top := s[0]
	last := len(s) - 1
	s[0], s[last] = s[last], nil
	s = s[:last]
	*h = s
	for i := 0; ; {
		least := 2*i + 1
		if least >= last {
			return top
		}
		if right := least + 1; right < last && s[right].until < s[least].until {
			least = right
		}
		if s[i].until <= s[least].until {
			return top
		}
		s[i], s[least] = s[least], s[i]
		i = least
	}
}
