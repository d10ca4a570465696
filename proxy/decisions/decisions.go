// Package decisions writes down what became of every request of a sale, a line of JSON for
// each, for whoever looks for cheats afterwards.
//
//	{"t":1764288000123456,"sale":"phone","acct":"c:alice","ip":"192.0.2.7","step":"buy","reason":"sold_out","o":152,"would":"challenge","won":true}
//
// t is the arrival in Unix microseconds, o the milliseconds since the sale opened, where
// that is known; what is empty is left out. An account whose name is no text stands there
// as its keyed hash, as all do where the rules say so.
//
// A request never waits for it. Lines are collected in memory, at most 8 MiB, and written
// by one goroutine; what there is no room for is dropped and counted. A crash loses what
// was collected since the last write, some 50 ms.
package decisions

import (
	"bytes"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	lru "github.com/hashicorp/golang-lru/v2"

	"penstock/proxy/gate"
	"penstock/rules"
)

const (
	room       = 4 << 20 // bytes that wait while as many are written
	writeEvery = 50 * time.Millisecond
	hashes     = 1 << 16 // accounts whose hash is remembered
)

// Log is a gate.Watcher that writes lines.
type Log struct {
	hash   func(account string) string
	report func(error)
	hashed *lru.Cache[string, string]
	on     atomic.Pointer[rules.Decisions] // nil: nothing is written

	mu      sync.Mutex
	filling []byte  // lines that go by what on says
	before  []batch // those of rules that are in use no more
	waiting int     // bytes of before
	kick    chan struct{}

	dropped, lines, failures atomic.Uint64

	file  file // the writer's
	spare []byte
	stop  chan struct{}
	ended chan struct{}
}

// batch are lines that go where their rules say.
type batch struct {
	to    *rules.Decisions
	lines []byte
}

// New makes a log that writes nothing before Use. hash names an account in 16 hex digits
// without telling who it is. report hears of the first failure of a row.
func New(hash func(account string) string, report func(error)) *Log {
	cache, err := lru.New[string, string](hashes)
	if err != nil {
		panic(err) // only a size below 1 is refused
	}
	l := &Log{
		hash: hash, report: report, hashed: cache, kick: make(chan struct{}, 1),
		stop: make(chan struct{}), ended: make(chan struct{}),
	}
	go l.run()
	return l
}

// Use goes by these rules from now on; nil: nothing is written. What was decided before goes
// where it was to go: a name that was written in clear stays out of a file of hashes.
func (l *Log) Use(d *rules.Decisions) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.filling) > 0 {
		l.before = append(l.before, batch{l.on.Load(), l.filling})
		l.waiting += len(l.filling)
		l.filling = nil
	}
	l.on.Store(d)
}

// Close writes what has been collected. What is decided later is not written.
func (l *Log) Close() error {
	l.Use(nil)
	close(l.stop)
	<-l.ended
	return l.file.close()
}

// Stats are lines since the start: those that were written, and those that were not.
type Stats struct{ Lines, Dropped, Failures uint64 }

// Stats counts; of a failed write, lines that are not whole are dropped.
func (l *Log) Stats() Stats {
	return Stats{l.lines.Load(), l.dropped.Load(), l.failures.Load()}
}

var steps = [...]string{gate.Buys: "buy", gate.Orders: "order", gate.Looks: "look"}

// Decided adds a line.
func (l *Log) Decided(d *gate.Decision) {
	var scratch [512]byte
	for on := l.on.Load(); on != nil; on = l.on.Load() {
		if l.add(on, l.append(scratch[:0], d, on.Hash)) {
			return
		}
	}
}

// add answers false if the line was made by rules that are in use no more.
func (l *Log) add(by *rules.Decisions, line []byte) bool {
	l.mu.Lock()
	if l.on.Load() != by {
		l.mu.Unlock()
		return false
	}
	full := l.waiting+len(l.filling)+len(line) > room
	if !full {
		l.filling = append(l.filling, line...)
	}
	half := len(l.filling) > room/2
	l.mu.Unlock()
	if full {
		l.dropped.Add(1)
	}
	if half {
		select {
		case l.kick <- struct{}{}:
		default:
		}
	}
	return true
}

func (l *Log) append(b []byte, d *gate.Decision, hash bool) []byte {
	f := d.Facts
	b = strconv.AppendInt(append(b, `{"t":`...), f.At.UnixMicro(), 10)
	b = append(appendText(append(b, `,"sale":`...), f.Sale.Name), `,"acct":`...)
	switch {
	case f.Account == "":
		b = b[:len(b)-len(`,"acct":`)]
	case hash || !utf8.ValidString(f.Account) || strings.HasPrefix(f.Account, "#"):
		b = append(append(append(b, `"#`...), l.hashOf(f.Account)...), '"')
	default:
		b = appendText(b, f.Account)
	}
	if f.IP.IsValid() {
		b = append(f.IP.AppendTo(append(b, `,"ip":"`...)), '"')
	}
	b = append(append(append(b, `,"step":"`...), steps[d.Step]...), '"')
	b = append(append(append(b, `,"reason":"`...), d.Reason.String()...), '"')
	if !f.Sale.Opens.IsZero() {
		b = strconv.AppendInt(append(b, `,"o":`...), f.At.Sub(f.Sale.Opens).Milliseconds(), 10)
	}
	if d.Would != gate.Unset {
		b = append(append(append(b, `,"would":"`...), d.Would.String()...), '"')
	}
	if d.Won {
		b = append(b, `,"won":true`...)
	}
	return append(b, '}', '\n')
}

func (l *Log) hashOf(account string) string {
	if h, ok := l.hashed.Get(account); ok {
		return h
	}
	h := l.hash(account)
	l.hashed.Add(strings.Clone(account), h)
	return h
}

const hex = "0123456789abcdef"

// appendText quotes valid UTF-8 as JSON.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

// run writes until Close.
func (l *Log) run() {
	defer close(l.ended)
	t := time.NewTicker(writeEvery)
	defer t.Stop()
	failing := false
	for last := false; !last; {
		select {
		case <-l.kick:
		case <-t.C:
		case <-l.stop:
			last = true
		}
		l.mu.Lock()
		if l.waiting+len(l.filling) == 0 {
			l.mu.Unlock()
			continue
		}
		all := append(l.before, batch{l.on.Load(), l.filling})
		l.before, l.waiting = nil, 0
		l.filling = l.spare[:0]
		l.mu.Unlock()
		l.spare = all[len(all)-1].lines
		for _, b := range all {
			if len(b.lines) == 0 {
				continue
			}
			err := l.write(b)
			if err != nil && !failing {
				l.report(err)
			}
			failing = err != nil
		}
	}
}

// write writes a batch, and counts its lines.
func (l *Log) write(b batch) error {
	n, err := l.file.write(b.to, b.lines)
	whole := uint64(bytes.Count(b.lines[:n], []byte{'\n'}))
	l.lines.Add(whole)
	l.dropped.Add(uint64(bytes.Count(b.lines[n:], []byte{'\n'})))
	if err != nil {
		l.failures.Add(1)
	}
	return err
}
