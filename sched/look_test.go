package sched

import (
	"context"
	"errors"
	"testing"
)

// TestWaits has a task wait for one that is held up, and for two of three.
func TestWaits(t *testing.T) {
	e := start(t, Config{Slots: 2})
	gate := make(chan struct{})
	hold := fn("hold", func(ctx context.Context, _ int) (int, error) { <-gate; return 1, nil })
	held := submit[int, int](e, context.Background(), hold, 0, Opts{NoInline: true})
	wait := fn("wait", func(ctx context.Context, _ int) (int, error) { return held.get(e, ctx) })
	waiter := submit[int, int](e, context.Background(), wait, 0, Opts{})
	some := fn("some", func(ctx context.Context, _ int) (int, error) {
		var done Task
		done.InitExternal(hold, nil)
		done.Finish()
		return 0, e.WaitN(ctx, []*Task{&held.Task, &waiter.Task, &done}, 2)
	})
	other := submit[int, int](e, context.Background(), some, 0, Opts{})
	of := func(who *Task, frames int) (w Wait, ok bool) {
		e.Waiting(0)
		for _, w := range e.Waits(8) {
			if w.Task == who && w.Frames == frames {
				return w, true
			}
		}
		return w, false
	}
	until(t, "both wait and have looked at their stacks", func() bool {
		_, a := of(&waiter.Task, 1)
		_, b := of(&other.Task, 1)
		return a && b
	})
	if w, _ := of(&waiter.Task, 1); len(w.For) != 1 || w.For[0] != &held.Task || w.Need != 1 || w.Open != 1 || w.Since.IsZero() {
		t.Errorf("one waits for %+v", w)
	}
	if w, _ := of(&other.Task, 1); len(w.For) != 2 || w.Need != 1 || w.Open != 2 {
		t.Errorf("the other waits for %+v", w)
	}
	if e.EndWatch() {
		t.Error("nobody looks, though tasks wait")
	}
	close(gate)
	if _, err := waiter.get(e, t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := other.get(e, t.Context()); err != nil {
		t.Error(err)
	}
	until(t, "no wait is left", func() bool { return len(e.Waits(8)) == 0 })
	if !e.EndWatch() {
		t.Error("somebody still has to look")
	}
}

// TestBreak ends waits of three kinds with an error.
func TestBreak(t *testing.T) {
	e := start(t, Config{Slots: 2})
	broken := errors.New("broken")
	var never Task
	never.InitExternal(&Func{Name: "never"}, nil)
	for name, wait := range map[string]func(context.Context) error{
		"await": func(ctx context.Context) error { return e.Await(ctx, &never) },
		"waitn": func(ctx context.Context) error { return e.WaitN(ctx, []*Task{&never}, 1) },
		"block": func(ctx context.Context) error {
			b := e.BlockFor(ctx, "", false, 1, 1, func(int) *Task { return &never })
			defer b.Resume()
			for {
				<-b.Told()
				if err := b.Heed(); err != nil {
					return err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := fn(name, func(ctx context.Context, _ int) (int, error) { return 0, wait(ctx) })
			c := submit[int, int](e, context.Background(), f, 0, Opts{NoInline: true})
			until(t, "the wait was ended", func() bool {
				for _, w := range e.Waits(1) {
					if w.Task == &c.Task && len(w.For) == 1 && w.For[0] == &never {
						return e.Break(w.Seq, broken)
					}
				}
				return false
			})
			if _, err := c.get(e, t.Context()); !errors.Is(err, broken) {
				t.Errorf("the task ends with %v", err)
			}
			if e.Break(1, broken) {
				t.Error("a wait that is no more was ended")
			}
		})
	}
	never.Finish()
}

// TestRuns lists what runs: on an executor, on a getter's goroutine, and on that of a task that waits.
func TestRuns(t *testing.T) {
	e := start(t, Config{Slots: 2})
	gate := make(chan struct{})
	in := make(chan *Task, 1)
	inner := fn("inner", func(ctx context.Context, _ int) (int, error) { in <- TaskOf(ctx); <-gate; return 1, nil })
	outer := fn("outer", func(ctx context.Context, _ int) (int, error) {
		return submit[int, int](e, ctx, inner, 0, Opts{}).get(e, ctx)
	})
	end := make(chan error, 1)
	c := submit[int, int](e, context.Background(), outer, 0, Opts{})
	go func() { _, err := c.get(e, context.Background()); end <- err }()
	running := <-in
	found := 0
	for _, r := range e.Runs() {
		switch r.Task {
		case running:
			found++
			if r.Since.IsZero() || r.Getter != nil && r.Getter != &c.Task {
				t.Errorf("inner runs as %+v", r)
			}
		case &c.Task:
			found++
		}
	}
	if found != 2 {
		t.Errorf("%d of 2 are listed", found)
	}
	close(gate)
	if err := <-end; err != nil {
		t.Error(err)
	}
	until(t, "nothing runs", func() bool { return len(e.Runs()) == 0 })
}

// TestEachQueued lists single tasks, a range, and what hangs on a task.
func TestEachQueued(t *testing.T) {
	e := start(t, Config{Slots: 1})
	gate := make(chan struct{})
	hold := fn("hold", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	held := submit[int, int](e, context.Background(), hold, 0, Opts{NoInline: true})
	started(t, e, 1)
	quick := fn("quick", func(context.Context, int) (int, error) { return 0, nil })
	hung := submit[int, int](e, context.Background(), quick, 0, Opts{Deps: []*Task{&held.Task}})
	p := e.Place(context.Background())
	cs := make([]call[int, int], 5000)
	for i := range cs {
		p.Prepare(&cs[i].Task, quick)
	}
	p.SubmitAll(len(cs), func(i int) *Task { return &cs[i].Task })
	for range 3 * peekAt {
		submit[int, int](e, context.Background(), quick, 0, Opts{})
	}
	n := 0
	e.EachQueued(func(x *Task, k int) {
		if x.Func() == quick {
			n += k
		}
	})
	if n != len(cs)+3*peekAt {
		t.Errorf("%d tasks are queued, want %d", n, len(cs)+3*peekAt)
	}
	var hang []*Task
	held.EachDependent(func(x *Task) { hang = append(hang, x) })
	if len(hang) != 1 || hang[0] != &hung.Task || len(hung.Needs()) != 1 || hung.Needs()[0] != &held.Task {
		t.Errorf("%v hang on the task", hang)
	}
	close(gate)
	if _, err := hung.get(e, t.Context()); err != nil {
		t.Error(err)
	}
}
