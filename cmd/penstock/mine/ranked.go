package mine

// The last pass: every account is judged, and they are put in order.

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
)

// Ranked is an account with its score.
type Ranked struct {
	*Account
	Score     int
	Ring      *Ring // nil: none
	Neighbour int   // accounts at its fullest address, itself included
	Reasons   string
}

// Ranked calls see with every account that scores least or more, the highest first, then by
// name; with top above 0 only with so many. What it calls it with is lent.
func (r *Result) Ranked(ctx context.Context, least, top int, see func(a *Ranked) error) error {
	m := r.m
	out := m.spool("ranking")
	defer out.close()
	var scores [101]atomic.Int64
	err := m.parts(ctx, "ranking", func() (func(int) error, func() error) {
		w := &ranker{Result: r, out: out.writer(), least: least, top: top, scores: &scores}
		return w.part, w.out.flush
	})
	if err != nil {
		return err
	}
	return r.inOrder(ctx, out, top, see)
}

// errEnough ends a pass early.
var errEnough = errors.New("enough")

func (r *Result) inOrder(ctx context.Context, out *spool, top int, see func(a *Ranked) error) error {
	var sorter sorter
	var a Account
	n := 0
	for part := range out.parts {
		err := out.sorted(&sorter, part, func(rec []byte) error {
			if n++; ctx.Err() != nil {
				return ctx.Err()
			} else if top > 0 && n > top {
				return errEnough
			}
			return see(r.read(rec, &a))
		})
		if errors.Is(err, errEnough) {
			return nil
		} else if err != nil {
			return err
		}
		out.drop(part)
	}
	return nil
}

// ranker is one worker.
type ranker struct {
	*Result
	out        *writer
	least, top int
	scores     *[101]atomic.Int64
	a          Account
	buf        []byte
}

func (w *ranker) part(part int) error {
	number := w.m.bases[part]
	return w.m.known.each(part, func(rec []byte) error {
		readAccount(rec, &w.a)
		v := w.judge(&w.a, number)
		score := v.score()
		w.scores[score].Add(1)
		if score >= w.least && !w.beaten(score) {
			w.buf = appendRanked(w.buf[:0], score, w.a.Name, number, rec)
			if err := w.out.add(w.buf); err != nil {
				return err
			}
		}
		number++
		return nil
	})
}

// beaten reports whether enough others are above.
func (w *ranker) beaten(score int) bool {
	if w.top <= 0 {
		return false
	}
	n := int64(0)
	for s := 100; s > score; s-- {
		n += w.scores[s].Load()
	}
	return n >= int64(w.top)
}

func (r *Result) judge(a *Account, number uint32) verdict {
	return weigh(&a.All, r.standing(a, number))
}

func (r *Result) standing(a *Account, number uint32) standing {
	k := standing{ring: r.m.ringOf[r.m.rings.parent[number]], neighbour: int(r.m.most[number].Load()), hops: a.Hops}
	for _, sale := range a.Sales {
		k.pages = k.pages || r.Sales[sale].Looks > 0
	}
	return k
}

// appendRanked writes a record in the order of falling scores, then names.
func appendRanked(b []byte, score int, name string, number uint32, account []byte) []byte {
	b = append(b, byte((100-score)*255/100))
	b = append(append(b, strings.ReplaceAll(name, "\x00", "\x01")...), 0)
	b = append(b, byte(number>>24), byte(number>>16), byte(number>>8), byte(number))
	return append(b, account...)
}

func (r *Result) read(b []byte, a *Account) *Ranked {
	end := 1 + bytes.IndexByte(b[1:], 0)
	n := b[end+1:]
	number := uint32(n[0])<<24 | uint32(n[1])<<16 | uint32(n[2])<<8 | uint32(n[3])
	readAccount(n[4:], a)
	k := r.standing(a, number)
	v := weigh(&a.All, k)
	return &Ranked{Account: a, Score: v.score(), Ring: k.ring, Neighbour: k.neighbour, Reasons: v.String()}
}
