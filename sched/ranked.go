package sched

import (
	"container/heap"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// perLevel is how long a task waits until it counts as one of the next higher priority: nothing starves.
	perLevel = time.Second
	// arrivalEvery is how fine the arrivals of ordinary tasks are remembered, maxArrivals how many of them.
	arrivalEvery = 10 * time.Millisecond
	maxArrivals  = 128
	// leastSweep is how many entries are queued before the stale ones are looked for.
	leastSweep = 64
)

// Why executors go out of their way between two tasks: bits of Engine.press.
const (
	pressSlots  uint32 = 1 << iota // somebody waits for their slot
	pressRanked                    // tasks with a priority wait or run
)

// entry is a queued task and when its turn is: a task of a higher key comes first.
type entry struct {
	t   *Task
	key time.Duration // one level per perLevel, less when it was queued, so that who waits need not be looked at again
}

// rank is the entry of a task that is queued now.
func (e *Engine) rank(t *Task) entry {
	level := 0
	if t.shape&prior != 0 && e.cfg.Priority != nil {
		level = e.cfg.Priority(t)
	}
	return entry{t, time.Duration(level)*perLevel - time.Since(e.began)}
}

// ranked are the queued tasks of one slot with a priority of their own. The deques know no time, so that what waits there
// is compared by when about its oldest task was queued: see arrivals.
type ranked struct {
	n atomic.Int32 // len(heap)

	mu      sync.Mutex
	heap    entries
	sweep   int    // look for stale entries at that length
	running int    // executors with one of these tasks
	moves   uint64 // for the monitor
	seen    arrivals
}

type entries []entry

func (h entries) Len() int           { return len(h) }
func (h entries) Less(i, j int) bool { return h[i].key > h[j].key }
func (h entries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *entries) Push(x any)        { *h = append(*h, x.(entry)) }
func (h *entries) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = entry{}
	*h = old[:len(old)-1]
	return x
}

// addRanked queues a task of one slot that has a priority.
func (e *Engine) addRanked(t *Task) {
	q := &e.ranked
	q.mu.Lock()
	n := len(q.heap)
	full := n >= maxAside
	if !full {
		if len(q.heap) >= max(q.sweep, leastSweep) {
			e.dropRankedLocked((*Task).Stale)
			q.sweep = 2 * len(q.heap)
		}
		heap.Push(&q.heap, e.rank(t))
		q.moves++
		e.countRankedLocked()
	}
	q.mu.Unlock()
	if full {
		t.failFrom(ErrBusy, stNew)
		return
	}
	e.pushed(max(2, n)) // S2: whoever is idle comes at once
}

// countRankedLocked tells who does not hold the lock. While one is queued, getters outside of tasks leave free slots to the
// executors.
func (e *Engine) countRankedLocked() {
	q := &e.ranked
	old, n := q.n.Load(), int32(len(q.heap))
	q.n.Store(n)
	switch {
	case old == 0 && n > 0:
		e.wides.Add(rankedWaits)
	case old > 0 && n == 0:
		e.wides.Add(-rankedWaits)
		q.heap, q.sweep = nil, 0
	}
	if n > 0 || q.running > 0 {
		e.press.Or(pressRanked)
		return
	}
	e.press.And(^pressRanked)
	q.seen = arrivals{} // from here on nobody counts ordinary tasks
}

// dropRankedLocked removes the entries that drop says yes to.
func (e *Engine) dropRankedLocked(drop func(*Task) bool) {
	q := &e.ranked
	q.heap = slices.DeleteFunc(q.heap, func(x entry) bool { return drop(x.t) })
	heap.Init(&q.heap)
	e.countRankedLocked()
}

// filterRanked is dropRankedLocked for who does not hold the lock.
func (e *Engine) filterRanked(drop func(*Task) bool) {
	if e.ranked.n.Load() == 0 {
		return
	}
	e.ranked.mu.Lock()
	e.dropRankedLocked(drop)
	e.ranked.mu.Unlock()
}

// urgent gives the task whose turn it is while some with a priority wait: one of those, or an ordinary one that has waited
// long enough; nil where none with a priority waits. After one of those, which have the bit prior, endRanked is called.
func (w *worker) urgent() *Task {
	e := w.e
	if e.ranked.n.Load() == 0 {
		return nil
	}
	if t := e.nextRanked(int64(e.inQueues())); t != nil {
		return t
	}
	for e.ranked.n.Load() > 0 {
		t, ok := w.q.Pop()
		if !ok {
			t = w.steal(true, 1)
		}
		if t == nil {
			return e.nextRanked(0)
		}
		if !t.Stale() {
			e.ranked.mu.Lock()
			e.ranked.seen.started++
			e.ranked.mu.Unlock()
			return t
		}
	}
	return nil
}

// nextRanked gives the task with a priority whose turn it is; nil where there is none, or one of so many ordinary ones that
// wait comes first.
func (e *Engine) nextRanked(ordinary int64) *Task {
	q := &e.ranked
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.heap) > 0 && q.heap[0].t.Stale() {
		heap.Pop(&q.heap)
	}
	var t *Task
	if len(q.heap) > 0 && !q.seen.first(time.Since(e.began), ordinary, q.heap[0].key) {
		t = heap.Pop(&q.heap).(entry).t
		q.running++
		q.moves++
	}
	e.countRankedLocked()
	return t
}

// endRanked says that an executor is done with a task that nextRanked gave.
func (e *Engine) endRanked() {
	e.ranked.mu.Lock()
	e.ranked.running--
	e.countRankedLocked()
	e.ranked.mu.Unlock()
}

// inQueues is how many entries the deques have, stale ones with them.
func (e *Engine) inQueues() (n int) {
	for _, v := range *e.all.Load() {
		k, _ := v.q.Len()
		n += k
	}
	return n
}

// queuedRanked copies what waits, in the order of its turns.
func (e *Engine) queuedRanked() []*Task {
	if e.ranked.n.Load() == 0 {
		return nil
	}
	e.ranked.mu.Lock()
	all := slices.Clone(e.ranked.heap)
	e.ranked.mu.Unlock()
	return inTurn(all)
}

func inTurn(all []entry) []*Task {
	slices.SortStableFunc(all, func(a, b entry) int { return int(min(max(b.key-a.key, -1), 1)) })
	ts := make([]*Task, len(all))
	for i, x := range all {
		ts[i] = x.t
	}
	return ts
}

// hasRanked says whether a task with a priority waits.
func (e *Engine) hasRanked() bool {
	if e.ranked.n.Load() == 0 {
		return false
	}
	e.filterRanked((*Task).Stale)
	return e.ranked.n.Load() > 0
}

// pressed is what an executor does between two tasks when somebody wants something of it.
func (w *worker) pressed() {
	e := w.e
	if w.cur.Load().shape&prior != 0 {
		e.endRanked()
	}
	for {
		if e.press.Load()&pressSlots != 0 {
			e.turn()
		}
		t := w.urgent()
		if t == nil {
			return
		}
		if t.claim() {
			w.cur.Store(t)
			w.exec(t, 0, nil)
		}
		if t.shape&prior != 0 {
			e.endRanked()
		}
	}
}

// arrivals remembers when about ordinary tasks were queued, while others with a priority wait or run: that long the first
// of them waits. Who sees the length of the queues from time to time knows how many have come by then.
type arrivals struct {
	started int64 // ordinary tasks that came first
	list    []arrival
}

// arrival says that by the time at, or up to arrivalEvery later, n ordinary tasks had come.
type arrival struct {
	at time.Duration
	n  int64
}

// first says whether an ordinary task comes before one with a key. So many of them wait.
func (a *arrivals) first(now time.Duration, waiting int64, key time.Duration) bool {
	if waiting == 0 {
		*a = arrivals{}
		return false
	}
	all := a.started + waiting
	for k := len(a.list) - 1; k >= 0 && a.list[k].n >= all; k-- { // some went another way
		a.list[k].n = all
		if k > 0 && a.list[k-1].n >= all {
			a.list = a.list[:k]
		}
	}
	for len(a.list) > 0 && a.list[0].n <= a.started {
		a.list = a.list[1:]
	}
	switch k := len(a.list) - 1; {
	case k < 0:
		a.list = append(a.list, arrival{now, all})
	case a.list[k].n >= all:
	case now-a.list[k].at < arrivalEvery:
		a.list[k].n = all
	default:
		a.list = append(a.list, arrival{now, all})
	}
	if len(a.list) > maxArrivals { // by half as fine; later ones count as earlier ones
		half := a.list[:0]
		for k := 0; k < len(a.list); k += 2 {
			half = append(half, arrival{a.list[k].at, a.list[min(k+1, len(a.list)-1)].n})
		}
		a.list = half
	}
	return key < -a.list[0].at
}
