package mine

// Merges sorted runs of a part that was too large to be sorted at once.

import (
	"bytes"
	"container/heap"
	"encoding/binary"
)

// cursor is how far a run has been read.
type cursor struct {
	rest []extent
	buf  []byte
	left []byte // of buf
	rec  []byte
}

// next steps on. False: the run has ended.
func (c *cursor) next(s *spool) (more bool, err error) {
	if len(c.left) == 0 {
		if len(c.rest) == 0 {
			return false, nil
		}
		if c.buf, err = s.load(c.buf[:0], c.rest[0]); err != nil {
			return false, err
		}
		c.left, c.rest = c.buf, c.rest[1:]
	}
	n := binary.LittleEndian.Uint32(c.left)
	c.rec, c.left = c.left[4:4+n], c.left[4+n:]
	return true, nil
}

type cursors []*cursor

func (c cursors) Len() int           { return len(c) }
func (c cursors) Less(i, j int) bool { return bytes.Compare(c[i].rec, c[j].rec) < 0 }
func (c cursors) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)        { *c = append(*c, x.(*cursor)) }
func (c *cursors) Pop() any {
	last := len(*c) - 1
	x := (*c)[last]
	*c = (*c)[:last]
	return x
}

func (s *spool) merge(runs [][]extent, see func(rec []byte) error) error {
	var h cursors
	for _, run := range runs {
		c := &cursor{rest: run}
		if more, err := c.next(s); err != nil {
			return err
		} else if more {
			h = append(h, c)
		}
	}
	heap.Init(&h)
	for len(h) > 0 {
		if err := see(h[0].rec); err != nil {
			return err
		}
		more, err := h[0].next(s)
		switch {
		case err != nil:
			return err
		case more:
			heap.Fix(&h, 0)
		default:
			heap.Pop(&h)
		}
	}
	return nil
}
