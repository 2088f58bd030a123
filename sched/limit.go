package sched

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultQueued is how many tasks wait in an engine before submitters do.
const DefaultQueued = 4_000_000

const (
	// limitPoll is how often it is looked whether there is room again, while somebody waits for that.
	limitPoll = time.Millisecond
	// limitStep is how many tasks a queue grows by between two looks at all of them.
	limitStep = 64
)

// Limit is a bound of unfinished work, at which submitters wait. Below it a submitter reads one word that nobody writes.
// Who finds that the bound is reached says so (Reach); a goroutine that lives until there is room again lets all in then.
// The task that reached it is in, and so may be as many as were submitted at the same moment.
type Limit struct {
	// constant after construction
	e    *Engine
	why  string      // what submitters wait for, in words
	room func() bool // there is some again

	full atomic.Bool

	mu   sync.Mutex
	open chan struct{} // closed when full is cleared
}

// NewLimit makes a bound. Room says whether there is some again; it should be true only when an eighth is free, so
// that who waited does not wait again at once. Why says what submitters wait for.
func (e *Engine) NewLimit(why string, room func() bool) *Limit {
	return &Limit{e: e, why: why, room: room}
}

// Reached says whether submitters have to call Await.
func (l *Limit) Reached() bool { return l.full.Load() }

// Reach has submitters wait until there is room.
func (l *Limit) Reach() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.full.Load() || l.e.closed.Load() {
		return
	}
	l.open = make(chan struct{})
	l.full.Store(true)
	l.e.enter()
	go l.watch()
}

func (l *Limit) watch() {
	defer l.e.leave()
	t := time.NewTicker(limitPoll)
	defer t.Stop()
	for !l.e.closed.Load() && !l.room() {
		<-t.C
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.full.Store(false)
	close(l.open)
}

// Await waits until there is room for a submission under ctx; false where ctx ended first. A task that waits gives its slots
// back meanwhile. Of an engine that is closed nobody waits.
func (l *Limit) Await(ctx context.Context) bool {
	if ctx.Err() != nil {
		return true // the submission fails for that
	}
	b := l.e.BlockFor(ctx, l.why, true, 0, 0, nil)
	defer b.Resume()
	for l.full.Load() {
		l.mu.Lock()
		open := l.open
		l.mu.Unlock()
		select {
		case <-open:
		case <-ctx.Done():
			return false
		case <-b.Told():
			b.Heed()
		}
	}
	return true
}

// crowd is the engine's own bound: of tasks that are queued, or wait for what they need.
type crowd struct {
	limit *Limit
	most  int          // tasks
	near  int          // so many in one queue are a reason to count all
	hung  atomic.Int64 // tasks that wait for their Deps
}

// init is for before the engine starts. Below near in each of its queues it is below most in all.
func (c *crowd) init(e *Engine, most int) {
	c.most = most
	c.near = max(1, most/(2*(shards+e.cfg.Slots)))
	c.limit = e.NewLimit("room among the unfinished tasks of its process", func() bool { return e.unstarted() <= most-max(1, most/8) })
}

// unstarted is about how many tasks have been submitted and nobody has started.
func (e *Engine) unstarted() int { return e.Queued() + int(e.crowd.hung.Load()) }

// crowded is called when a task came to a queue that has n now, at least near.
func (e *Engine) crowded(n int) {
	if (n%limitStep == 0 || e.crowd.near < limitStep) && e.unstarted() >= e.crowd.most {
		e.crowd.limit.Reach()
	}
}

// Full says whether a submission would have to wait.
func (e *Engine) Full() bool { return e.crowd.limit.Reached() }

// Place says where a submission under ctx goes. It is for one submission, made at once. It waits while too much is
// unfinished; what is submitted fails with ErrBusy where ctx ended meanwhile.
func (e *Engine) Place(ctx context.Context) Place {
	if e.Full() && !e.crowd.limit.Await(ctx) {
		return Place{e.shard(), e.tired}
	}
	w, r := e.place(ctx)
	return Place{w, r}
}

// Bounds is the context that bounds what is submitted under ctx, for later ones that are to have the same bound: that
// of a task ends with it.
func (e *Engine) Bounds(ctx context.Context) context.Context {
	if _, r := e.place(ctx); r != nil {
		return r
	}
	return ended
}
