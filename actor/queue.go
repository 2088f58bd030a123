package actor

// keepCalls is how much room an empty queue keeps.
const keepCalls = 1 << 10

// queue is a first-in-first-out queue in a slice.
type queue struct {
	calls []call
	head  int // the oldest
}

func (q *queue) len() int { return len(q.calls) - q.head }

func (q *queue) push(c call) {
	if len(q.calls) == cap(q.calls) && q.head > len(q.calls)/2 {
		n := copy(q.calls, q.calls[q.head:])
		clear(q.calls[n:])
		q.calls, q.head = q.calls[:n], 0
	}
	q.calls = append(q.calls, c)
}

func (q *queue) pop() (c call, ok bool) {
	if q.len() == 0 {
		return call{}, false
	}
	c, q.calls[q.head] = q.calls[q.head], call{}
	q.head++
	if q.len() == 0 {
		q.calls, q.head = q.calls[:0], 0
		if cap(q.calls) > keepCalls {
			q.calls = nil
		}
	}
	return c, true
}

// take empties the queue.
func (q *queue) take() []call {
	c := q.calls[q.head:]
	*q = queue{}
	return c
}
