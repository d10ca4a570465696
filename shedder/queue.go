package shedder

import (
	"container/heap"
	"time"
)

// waiter is one request in a queue.
type waiter struct {
	granted chan bool // true: the slot is its own; false: it is refused
	since   time.Time
	due     time.Time // who is due first is served first
	order   uint64    // and then who came first
	at      int       // in the heap; -1: not in it any more
}

// queue is a heap by due time, so that members can also leave from the middle.
type queue []*waiter

// Len, Less, Swap, Push and Pop are container/heap's.
func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].order < q[j].order
}
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i, j
}
func (q *queue) Push(x any) {
	w := x.(*waiter)
	w.at = len(*q)
	*q = append(*q, w)
}
func (q *queue) Pop() any {
	old := *q
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	w.at = -1
	return w
}

func (q *queue) push(w *waiter) { heap.Push(q, w) }
func (q *queue) pop() *waiter   { return heap.Pop(q).(*waiter) }

// remove takes w out; false if it is not in the queue any more.
func (q *queue) remove(w *waiter) bool {
	if w.at < 0 {
		return false
	}
	heap.Remove(q, w.at)
	return true
}
