package proc

// stretch is tasks that were submitted as one and wait as one: what a process takes of them goes as one range.
type stretch struct {
	at     func(int) *Future
	lo, hi int // those that wait
}

// waiting is an entry of a queue: a task, or a stretch of them.
type waiting struct {
	f *Future
	s *stretch
}

// queue is tasks in the order in which they came.
type queue struct {
	ring           []waiting // length a power of two
	first, entries int
	n              int // tasks
}

func (q *queue) push(f *Future) { q.pushEntry(waiting{f: f}, 1) }

// pushAll adds n tasks as one entry.
func (q *queue) pushAll(n int, at func(int) *Future) {
	if n > 0 {
		q.pushEntry(waiting{s: &stretch{at: at, hi: n}}, n)
	}
}

func (q *queue) pushEntry(w waiting, n int) {
	if q.entries == len(q.ring) {
		q.grow()
	}
	q.ring[(q.first+q.entries)&(len(q.ring)-1)] = w
	q.entries++
	q.n += n
}

// unpop puts f in front.
func (q *queue) unpop(f *Future) {
	if q.entries == len(q.ring) {
		q.grow()
	}
	q.first = (q.first - 1) & (len(q.ring) - 1)
	q.ring[q.first] = waiting{f: f}
	q.entries++
	q.n++
}

func (q *queue) grow() {
	ring := make([]waiting, max(64, 2*len(q.ring)))
	for i := range q.entries {
		ring[i] = q.ring[(q.first+i)&(len(q.ring)-1)]
	}
	q.ring, q.first = ring, 0
}

// stretch is the entry in front; nil where that is one task.
func (q *queue) stretch() *stretch { return q.ring[q.first].s }

// pop takes the oldest task.
func (q *queue) pop() (f *Future) {
	if s := q.stretch(); s != nil {
		f = s.at(s.lo)
		q.drop(1)
		return f
	}
	f = q.ring[q.first].f
	q.n--
	q.shift()
	return f
}

// drop takes k tasks off the stretch in front.
func (q *queue) drop(k int) {
	s := q.stretch()
	s.lo += k
	q.n -= k
	if s.lo == s.hi {
		q.shift()
	}
}

// shift takes the entry in front away.
func (q *queue) shift() {
	q.ring[q.first] = waiting{}
	q.first = (q.first + 1) & (len(q.ring) - 1)
	if q.entries--; q.entries == 0 {
		q.first = 0
		if len(q.ring) > 1<<16 {
			q.ring = nil
		}
	}
}

// all gives the tasks.
func (q *queue) all(yield func(*Future) bool) {
	for i := range q.entries {
		w := q.ring[(q.first+i)&(len(q.ring)-1)]
		if w.s == nil {
			if !yield(w.f) {
				return
			}
			continue
		}
		for j := w.s.lo; j < w.s.hi; j++ {
			if !yield(w.s.at(j)) {
				return
			}
		}
	}
}

// counts says how many tasks of which function wait.
func (q *queue) counts(of map[string]int) {
	for i := range q.entries {
		w := q.ring[(q.first+i)&(len(q.ring)-1)]
		if w.s != nil {
			of[w.s.at(w.s.lo).Name()] += w.s.hi - w.s.lo
		} else {
			of[w.f.Name()]++
		}
	}
}
