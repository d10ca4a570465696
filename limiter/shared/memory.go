package shared

import (
	"cmp"
	"container/heap"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"slices"
	"sync"
	"time"
)

// MostClaims bounds what a Memory remembers as claimed: 20 MB of it. With more no claim is
// taken, which is the safe side.
const MostClaims = 1 << 18

// ClaimID is what a Memory remembers of an id.
type ClaimID [16]byte

// ClaimOf is the id's.
func ClaimOf(id []byte) ClaimID {
	sum := sha256.Sum256(id)
	return ClaimID(sum[:])
}

// Keeper keeps what a Memory is told, before that answers.
type Keeper interface {
	// Notes are to be put, and others to be forgotten. One call at a time.
	Notes(put []Note, gone []Subject) error

	// Claim is until then, in Unix ms. Many calls at a time.
	Claim(id ClaimID, until int64, gone []ClaimID) error
}

// Memory is a Store of this process: for one gateway without another store, for tests of
// several, and what the embedded store keeps its file by.
type Memory struct {
	keeper Keeper // nil: there is none

	mu     sync.Mutex
	epoch  string
	rev    uint64
	notes  map[Subject]*told
	order  []*told // by rev; those that were told anew since are not theirs any more
	claims map[ClaimID]int64
	ends   claimEnds
	leases map[string]lease
}

type told struct {
	Note
	rev uint64
}

type lease struct {
	until  time.Time
	leases []Lease
}

var _ Store = (*Memory)(nil)

// NewMemory makes an empty one that forgets all with the process.
func NewMemory() *Memory { return NewKept(nil, nil, nil) }

// NewKept makes one of what k has kept.
func NewKept(k Keeper, notes []Note, claims map[ClaimID]int64) *Memory {
	m := &Memory{
		keeper: k, epoch: rand.Text(), notes: make(map[Subject]*told), claims: make(map[ClaimID]int64), leases: make(map[string]lease),
	}
	for _, n := range notes {
		m.set(n)
	}
	for id, until := range claims {
		m.remember(id, until)
	}
	return m
}

// Claim fails where there is no room.
func (m *Memory) Claim(_ context.Context, id []byte, life time.Duration) (bool, error) {
	key, now := ClaimOf(id), time.Now()
	until := now.Add(life).UnixMilli()
	first, gone, err := m.claim(key, now.UnixMilli(), until)
	if first && err == nil && m.keeper != nil {
		if err = m.keeper.Claim(key, until, gone); err != nil {
			return false, err // it stays taken: nobody knows what is on disk
		}
	}
	return first, err
}

func (m *Memory) claim(id ClaimID, now, until int64) (first bool, gone []ClaimID, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.claims[id] > now {
		return false, nil, nil
	}
	for len(m.ends) > 0 && m.ends[0].until <= now {
		e := heap.Pop(&m.ends).(claimEnd)
		delete(m.claims, e.id)
		if e.id != id {
			gone = append(gone, e.id)
		}
	}
	if len(m.claims) >= MostClaims {
		return false, gone, ErrFull
	}
	m.remember(id, until)
	return true, gone, nil
}

func (m *Memory) remember(id ClaimID, until int64) {
	m.claims[id] = until
	heap.Push(&m.ends, claimEnd{until, id})
}

type claimEnd struct {
	until int64
	id    ClaimID
}

type claimEnds []claimEnd

func (c claimEnds) Len() int           { return len(c) }
func (c claimEnds) Less(i, j int) bool { return c[i].until < c[j].until }
func (c claimEnds) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *claimEnds) Push(x any)        { *c = append(*c, x.(claimEnd)) }
func (c *claimEnds) Pop() any {
	last := (*c)[len(*c)-1]
	*c = (*c)[:len(*c)-1]
	return last
}

// Put tells the note.
func (m *Memory) Put(_ context.Context, n Note) (Note, error) {
	n.Lifted = false
	return m.over(n)
}

// Drop tells that it is lifted.
func (m *Memory) Drop(_ context.Context, n Note) (Note, error) { return m.over(Lift(n, time.Now())) }

// Lift is a note that lifts n's subject, and ends when that needs no remembering.
func Lift(n Note, now time.Time) Note {
	n.Lifted = true
	if last := now.Add(LiftedFor); n.Until.IsZero() || n.Until.After(last) {
		n.Until = last
	}
	return n
}

func (m *Memory) over(n Note) (Note, error) {
	if err := n.Check(); err != nil {
		return n, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	gone := m.expire(time.Now())
	n = n.Rounded()
	if old := m.notes[n.Subject]; old != nil && !n.At.After(old.At) {
		n.At = old.At.Add(time.Millisecond)
	}
	if !m.room(&n) {
		return n, errors.Join(ErrFull, m.keep(nil, gone))
	}
	m.set(n)
	return n, m.keep([]Note{n}, gone)
}

// Mend tells those that outdo others.
func (m *Memory) Mend(_ context.Context, notes []Note) (err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	gone := m.expire(now)
	var put []Note
	for i := range notes {
		n := notes[i].Rounded()
		if n.Check() != nil || !n.Live(now) {
			continue
		}
		if old := m.notes[n.Subject]; old != nil && !n.Outdoes(&old.Note, now) {
			continue
		}
		if !m.room(&n) {
			err = ErrFull
			continue
		}
		m.set(n)
		put = append(put, n)
	}
	return errors.Join(err, m.keep(put, gone))
}

func (m *Memory) keep(put []Note, gone []Subject) error {
	if m.keeper == nil || len(put)+len(gone) == 0 {
		return nil
	}
	return m.keeper.Notes(put, gone)
}

func (m *Memory) room(n *Note) bool {
	return m.notes[n.Subject] != nil || len(m.notes) < n.most()
}

// most is how many notes there may be before this one is refused.
func (n *Note) most() int {
	switch {
	case n.Lifted:
		return 2 * MostNotes
	case n.Hand():
		return MostNotes
	}
	return MostAutomatic
}

func (m *Memory) set(n Note) {
	m.rev++
	t := &told{n, m.rev}
	m.notes[n.Subject] = t
	if m.order = append(m.order, t); len(m.order) > 2*len(m.notes)+64 {
		m.order = slices.DeleteFunc(m.order, func(t *told) bool { return m.notes[t.Subject] != t })
	}
}

func (m *Memory) expire(now time.Time) (gone []Subject) {
	for s, t := range m.notes {
		if !t.Live(now) {
			delete(m.notes, s)
			gone = append(gone, s)
		}
	}
	return gone
}

// Since reads on.
func (m *Memory) Since(_ context.Context, r Rev) (Changes, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := Changes{Upto: Rev{m.epoch, m.rev}}
	if c.Whole = r.Epoch != m.epoch || r.N > m.rev; c.Whole {
		r.N = 0
	}
	now := time.Now()
	from, _ := slices.BinarySearchFunc(m.order, r.N+1, func(t *told, n uint64) int { return cmp.Compare(t.rev, n) })
	for _, t := range m.order[from:] {
		if m.notes[t.Subject] != t || !t.Live(now) {
			continue
		}
		if len(c.Notes) == MostPage {
			c.More, c.Upto.N = true, t.rev-1
			break
		}
		c.Notes = append(c.Notes, t.Note)
	}
	return c, nil
}

// Exchange hears what is alive.
func (m *Memory) Exchange(_ context.Context, gateway string, mine []Lease) (others []Lease, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.leases[gateway] = lease{now.Add(LeaseFor), slices.Clone(mine)}
	for name, l := range m.leases {
		if !l.until.After(now) {
			delete(m.leases, name)
			continue
		}
		for _, of := range l.leases {
			if name != gateway {
				of.Gateway = name
				others = append(others, of)
			}
		}
	}
	return others, nil
}
