package pipeline

import "container/heap"

// queue is an intrusive list of debts: constant time in, out and out of the middle, and no allocation.
type queue struct {
	head, tail *debt
	n          int
}

func (q *queue) push(one *debt) {
	one.queue, one.prev, one.next = q, q.tail, nil
	if q.tail == nil {
		q.head = one
	} else {
		q.tail.next = one
	}
	q.tail = one
	q.n++
}

func (q *queue) remove(one *debt) {
	if one.prev == nil {
		q.head = one.next
	} else {
		one.prev.next = one.next
	}
	if one.next == nil {
		q.tail = one.prev
	} else {
		one.next.prev = one.prev
	}
	one.queue, one.prev, one.next = nil, nil, nil
	q.n--
}

// dueHeap orders waiting debts by their time.
type dueHeap []*debt

func (h *dueHeap) add(one *debt)    { heap.Push((*dueOrder)(h), one) }
func (h *dueHeap) remove(one *debt) { heap.Remove((*dueOrder)(h), one.heap) }

// dueOrder is dueHeap as container/heap wants it.
type dueOrder []*debt

func (h dueOrder) Len() int           { return len(h) }
func (h dueOrder) Less(i, j int) bool { return h[i].Due.Before(h[j].Due) }

func (h dueOrder) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heap, h[j].heap = i, j
}

func (h *dueOrder) Push(x any) {
	one := x.(*debt)
	one.heap = len(*h)
	*h = append(*h, one)
}

func (h *dueOrder) Pop() any {
	last := len(*h) - 1
	one := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return one
}
