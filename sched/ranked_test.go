package sched

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// levels are the priorities of a test's tasks: their arguments.
func levels(slots int) Config {
	return Config{Slots: slots, stall: time.Hour, Priority: func(t *Task) int { return (*call[int, int])(unsafe.Pointer(t)).a }}
}

// submitAt submits a task with a priority.
func submitAt(e *Engine, ctx context.Context, f *Func, level int, o Opts) *call[int, int] {
	o.Priority = level != 0
	return submit[int, int](e, ctx, f, level, o)
}

// idleRanks says that nothing is left of tasks with priorities.
func idleRanks(e *Engine) bool {
	e.ranked.mu.Lock()
	defer e.ranked.mu.Unlock()
	return e.ranked.running == 0 && len(e.ranked.heap) == 0 && e.wides.Load() == 0 && e.press.Load()&pressRanked == 0 && e.Stats().Running == 0
}

// holdSlots fills all slots of an engine until the function it gives is called.
func holdSlots(t *testing.T, e *Engine) (free func()) {
	gate := make(chan struct{})
	hold := fn("hold", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	for range e.Slots() {
		submit[int, int](e, context.Background(), hold, 0, Opts{NoInline: true})
		e.pushed(2)
	}
	started(t, e, e.Slots())
	return func() { close(gate) }
}

func TestPriorityOrder(t *testing.T) {
	for _, milli := range []uint32{1000, 2000, 600} {
		cfg := levels(1)
		if milli > 1000 {
			cfg.Slots = 2
		}
		e := start(t, cfg)
		free := holdSlots(t, e)
		var mu sync.Mutex
		var ran []int
		note := fn("note", func(c context.Context, level int) (int, error) {
			mu.Lock()
			defer mu.Unlock()
			ran = append(ran, level)
			return level, nil
		})
		if milli == 600 || milli == 2000 { // the first one collects what it needs before others come
			submitAt(e, context.Background(), note, 9000, Opts{Milli: milli})
			if milli == 600 {
				until(t, "it to ask for a share", func() bool { return e.waiting.Load() > 0 })
			}
		}
		var ts []*Task
		for _, level := range []int{0, 500, -3000, 1000, 500, 0} {
			ts = append(ts, &submitAt(e, context.Background(), note, level, Opts{Milli: milli}).Task)
		}
		free()
		if err := e.WaitN(context.Background(), ts, len(ts)); err != nil {
			t.Fatal(err)
		}
		ran = slices.DeleteFunc(ran, func(l int) bool { return l == 9000 })
		if want := []int{1000, 500, 500, 0, 0, -3000}; !slices.Equal(ran, want) {
			t.Errorf("with %d thousandths: ran %v, not %v", milli, ran, want)
		}
		until(t, "nothing to be left", func() bool { return idleRanks(e) })
	}
}

// TestPriorityOfGetters: who waits outside of tasks does not take the slot that a task with a priority is to have.
func TestPriorityOfGetters(t *testing.T) {
	e := start(t, levels(1))
	note := fn("note", func(_ context.Context, level int) (int, error) { return level, nil })
	if _, err := submitAt(e, context.Background(), note, 0, Opts{}).get(e, context.Background()); err != nil { // its time is known now
		t.Fatal(err)
	}
	free := holdSlots(t, e)
	first := submitAt(e, context.Background(), note, 5, Opts{})
	if e.tryAcquire(1) || e.mayInline(context.Background(), nil, &first.Task) && e.inline(nil, &first.Task) {
		t.Error("a getter got a slot")
	}
	free()
	if _, err := first.get(e, context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "nothing to be left", func() bool { return idleRanks(e) })
}

// TestPriorityStarvesNobody: a stream of tasks with a priority holds ordinary ones up for a while only.
func TestPriorityStarvesNobody(t *testing.T) {
	e := start(t, levels(1))
	var stop, ordinary atomic.Bool
	var streamed atomic.Int64
	var stream *Func
	stream = fn("stream", func(context.Context, int) (int, error) {
		streamed.Add(1)
		if !stop.Load() {
			submitAt(e, context.Background(), stream, 1, Opts{})
		}
		time.Sleep(time.Millisecond)
		return 0, nil
	})
	free := holdSlots(t, e)
	submitAt(e, context.Background(), stream, 1, Opts{})
	submitAt(e, context.Background(), stream, 1, Opts{})
	last := submitAt(e, context.Background(), fn("ordinary", func(context.Context, int) (int, error) { ordinary.Store(true); return 0, nil }), 0, Opts{})
	low := submitAt(e, context.Background(), inc, -1, Opts{})
	free()
	if err := e.WaitN(context.Background(), []*Task{&last.Task, &low.Task}, 2); err != nil {
		t.Fatal(err)
	}
	stop.Store(true)
	if n := streamed.Load(); n == 0 {
		t.Error("nothing with a priority ran before")
	}
	until(t, "nothing to be left", func() bool { return idleRanks(e) })
}

// TestPriorityLeavesNothing: what is cancelled, fails or is run by its getter goes from the queue.
func TestPriorityLeavesNothing(t *testing.T) {
	e := start(t, levels(2))
	free := holdSlots(t, e)
	ctx, cancel := context.WithCancel(context.Background())
	var ts []*call[int, int]
	for i := range 1000 {
		ts = append(ts, submitAt(e, ctx, inc, 1+i%7, Opts{Milli: []uint32{0, 500, 2000}[i%3]}))
	}
	for i := range 1000 {
		x := submitAt(e, context.Background(), inc, 3, Opts{})
		if i%2 == 0 {
			x.Fail(errOdd)
		} else {
			ts = append(ts, x)
		}
	}
	cancel()
	for i, x := range ts[:1000] {
		if _, err := x.get(e, context.Background()); !errors.Is(err, context.Canceled) {
			t.Fatal(i, err)
		}
	}
	free()
	for _, x := range ts[1000:] {
		if _, err := x.get(e, context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "nothing to be left", func() bool { return idleRanks(e) && e.Queued() == 0 })
	// A getter inside of a task runs them itself, and leaves their entries.
	outer := fn("outer", func(c context.Context, _ int) (n int, err error) {
		for range 1000 {
			if _, err = submitAt(e, c, inc, 2, Opts{}).get(e, c); err != nil {
				return 0, err
			}
			n = max(n, int(e.ranked.n.Load()))
		}
		return n, nil
	})
	n, err := submit[int, int](e, context.Background(), outer, 0, Opts{NoInline: true}).get(e, context.Background())
	if err != nil || n > 2*leastSweep {
		t.Error(n, err)
	}
	until(t, "nothing to be left", func() bool { return idleRanks(e) && e.Queued() == 0 })
	// One that ends its goroutine.
	exit := fn("exit", func(context.Context, int) (int, error) { panic("boom") })
	for i := range 20 {
		submitAt(e, context.Background(), exit, i+1, Opts{}).get(e, context.Background())
	}
	until(t, "nothing to be left", func() bool { return idleRanks(e) })
}

// TestTakeByPriority: another process gets the most urgent tasks, and those that come back keep their priority.
func TestTakeByPriority(t *testing.T) {
	e := start(t, levels(1))
	free := holdSlots(t, e)
	var all []*call[int, int]
	for _, level := range []int{100, 0, 300, 200} {
		all = append(all, submitAt(e, context.Background(), inc, level, Opts{}))
	}
	ts := e.Take(2, func(*Task) bool { return true })
	if len(ts) != 2 || ts[0] != &all[2].Task || ts[1] != &all[3].Task {
		t.Fatal(ts)
	}
	e.Return(ts)
	if q := e.queuedRanked(); len(q) != 3 || q[0] != &all[2].Task {
		t.Error(q)
	}
	seen := 0
	e.EachQueued(func(*Task, int) { seen++ })
	if seen != 4 || e.Queued() != 4 {
		t.Error(seen, e.Queued())
	}
	free()
	for _, x := range all {
		if _, err := x.get(e, context.Background()); err != nil {
			t.Error(err)
		}
	}
}

func TestArrivals(t *testing.T) {
	const s = time.Second
	var a arrivals
	type look struct {
		now     time.Duration
		waiting int64
		key     time.Duration // of the task with a priority
		first   bool          // the ordinary one comes first
	}
	for i, l := range []look{
		{1 * s, 10, 4 * s, false},         // ten ordinary ones are seen at 1 s
		{2 * s, 10, 5*s - 2*s, false},     // one of level 5 that came at 2 s
		{6 * s, 30, 4*s - 6*s, true},      // they have waited for 5 s: they come before one of level 4
		{7 * s, 29, 5*s - 7*s, true},      // also the others of the ten
		{7 * s, 28, 5*s - 7*s, true},      //
		{7 * s, 21, 0, false},             // but not those that came at 6 s
		{8 * s, 21, 50*s - 8*s, false},    // nor before one that is urgent
		{9 * s, 0, -50*s - 9*s, false},    // nothing waits: the low one goes
		{10 * s, 1, -50*s - 10*s, true},   // a low one lets them go first
		{61 * s, 1, -50*s - 9500*s, true}, // the one that came last
	} {
		got := a.first(l.now, l.waiting, l.key)
		if got != l.first {
			t.Errorf("look %d: %v, %+v", i, got, a)
		}
		if got {
			a.started++
		}
		if i == 4 {
			a.started = 10 // the others started, too
		}
	}
	a = arrivals{}
	for i := range 10 * maxArrivals {
		a.first(time.Duration(i)*s, int64(i+1), 1e6*s)
		if len(a.list) > maxArrivals+1 || a.list[0].at != 0 {
			t.Fatal(len(a.list), a.list[0])
		}
	}
}

// TestShares: four tasks of half a CPU run on two CPUs at a time, and no more.
func TestShares(t *testing.T) {
	e := start(t, Config{Slots: 2, stall: time.Hour})
	var now, most atomic.Int32
	gate := make(chan struct{})
	half := fn("half", func(context.Context, int) (int, error) {
		n := now.Add(1)
		defer now.Add(-1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-gate
		return 0, nil
	})
	var ts []*Task
	for range 8 {
		ts = append(ts, &submit[int, int](e, context.Background(), half, 0, Opts{Milli: 500}).Task)
	}
	until(t, "four to run", func() bool { return now.Load() == 4 })
	whole := submit[int, int](e, context.Background(), inc, 0, Opts{NoInline: true})
	for range 8 {
		gate <- struct{}{}
	}
	if err := e.WaitN(context.Background(), append(ts, &whole.Task), 9); err != nil {
		t.Fatal(err)
	}
	if m := most.Load(); m != 4 {
		t.Errorf("%d ran at a time", m)
	}
	until(t, "the slots to be given back", func() bool { return e.Stats().Running == 0 && e.shares.free == 0 })
}

// TestSharesAreLent: a task of a part of a CPU gives it back while it waits.
func TestSharesAreLent(t *testing.T) {
	e := start(t, Config{Slots: 1, stall: time.Hour})
	var nest *Func
	nest = fn("nest", func(c context.Context, n int) (int, error) {
		if n == 0 {
			return 1, nil
		}
		x := submit[int, int](e, c, nest, n-1, Opts{Milli: []uint32{600, 700, 1000, 999}[n%4], NoInline: true})
		v, err := x.get(e, c)
		return v + 1, err
	})
	for range 20 {
		v, err := submit[int, int](e, context.Background(), nest, 30, Opts{Milli: 600}).get(e, context.Background())
		if err != nil || v != 31 {
			t.Fatal(v, err)
		}
	}
	until(t, "the slot to be given back", func() bool { return e.Stats().Running == 0 })
}

// TestSharesBesideManyTasks: what needs a share comes through a stream of tasks that take whole slots.
func TestSharesBesideManyTasks(t *testing.T) {
	e := start(t, Config{Slots: 1, stall: time.Hour})
	var stop atomic.Bool
	var stream *Func
	stream = fn("stream", func(context.Context, int) (int, error) {
		if !stop.Load() {
			submit[int, int](e, context.Background(), stream, 0, Opts{})
		}
		time.Sleep(100 * time.Microsecond)
		return 0, nil
	})
	submit[int, int](e, context.Background(), stream, 0, Opts{})
	submit[int, int](e, context.Background(), stream, 0, Opts{})
	if _, err := submit[int, int](e, context.Background(), inc, 1, Opts{Milli: 250}).get(e, context.Background()); err != nil {
		t.Fatal(err)
	}
	stop.Store(true)
	until(t, "the slot to be given back", func() bool { return e.Stats().Running == 0 })
}
