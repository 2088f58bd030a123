package sched

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

var (
	fib, tree, chain *Func
	inc              = fn("inc", func(_ context.Context, x int) (int, error) { return x + 1, nil })
	nap1             = fn("nap", func(_ context.Context, d time.Duration) (int, error) { time.Sleep(d); return 1, nil })
	errOdd           = errors.New("odd")
	odd              = fn("odd", func(_ context.Context, x int) (int, error) {
		if x%7 == 1 {
			panic("boom")
		}
		if x%2 == 1 {
			return 0, errOdd
		}
		return x, nil
	})
)

func engineOf(ctx context.Context) *Engine { return UserOf(ctx).(*Engine) }

// with gives a context in which tasks find e.
func with(e *Engine) context.Context { return WithUser(context.Background(), e) }

func init() {
	fib = fn("fib", func(ctx context.Context, n int) (int, error) {
		if n < 2 {
			return n, nil
		}
		e := engineOf(ctx)
		a, b := submit[int, int](e, ctx, fib, n-1, Opts{}), submit[int, int](e, ctx, fib, n-2, Opts{})
		x, err := a.get(e, ctx)
		if err != nil {
			return 0, err
		}
		y, err := b.get(e, ctx)
		return x + y, err
	})
	tree = fn("tree", func(ctx context.Context, d int) (int, error) {
		if d == 0 {
			return 1, nil
		}
		e := engineOf(ctx)
		var cs []*call[int, int]
		var ts []*Task
		for range 3 {
			c := submit[int, int](e, ctx, tree, d-1, Opts{})
			cs, ts = append(cs, c), append(ts, &c.Task)
		}
		_, err := awaitAll(e, ctx, ts)
		n := 1
		for _, c := range cs {
			n += c.v
		}
		return n, err
	})
	chain = fn("chain", func(ctx context.Context, d int) (int, error) {
		if d == 0 {
			return 0, nil
		}
		e := engineOf(ctx)
		c := submit[int, int](e, ctx, chain, d-1, Opts{})
		if err := e.WaitN(ctx, []*Task{&c.Task}, 1); err != nil { // never inline: each level blocks
			return 0, err
		}
		v, err := c.get(e, ctx)
		return v + 1, err
	})
}

// then is inc of another task's result.
func then(e *Engine, ctx context.Context, dep *call[int, int]) *call[int, int] {
	c := &call[int, int]{}
	e.Submit(ctx, &c.Task, &Func{Name: "then", Run: func(t *Task) {
		if err := dep.Failure(); err != nil {
			t.Fail(err)
			return
		}
		(*call[int, int])(unsafe.Pointer(t)).v = dep.v + 1
		t.Finish()
	}}, Opts{Deps: []*Task{&dep.Task}})
	return c
}

func TestFibTreeChain(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	for _, tc := range []struct {
		f       *Func
		n, want int
	}{{fib, 16, 987}, {tree, 7, 3280}, {chain, 300, 300}} {
		if v, err := submit[int, int](e, ctx, tc.f, tc.n, Opts{}).get(e, ctx); v != tc.want || err != nil {
			t.Fatal(tc.f.Name, v, err)
		}
	}
}

func TestFanAndDeps(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var cs []*call[int, int]
	for i := range 20000 {
		cs = append(cs, submit[int, int](e, ctx, inc, i, Opts{}))
	}
	for i := range 2000 {
		cs = append(cs, then(e, ctx, cs[i]))
	}
	c := cs[0]
	for range 500 {
		c = then(e, ctx, c)
	}
	if v, err := c.get(e, ctx); v != 501 || err != nil {
		t.Fatal(v, err)
	}
	for i := len(cs) - 1; i >= 0; i-- {
		want := i + 1
		if i >= 20000 {
			want = i - 20000 + 2
		}
		if v, err := cs[i].get(e, ctx); v != want || err != nil {
			t.Fatal(i, v, err)
		}
	}
}

func TestDepOnExternalRunsByItself(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	put := &call[int, int]{}
	put.InitExternal(inc, ctx)
	c := then(e, ctx, then(e, ctx, put))
	if e.Queued() != 0 || c.Ready() {
		t.Fatal("queued before its dependency was there")
	}
	put.v = 5
	if !put.Finish() || put.Finish() || put.Fail(errOdd) {
		t.Fatal("not exactly once")
	}
	until(t, "dependent task done", c.Ready)
	if c.v != 7 {
		t.Fatal(c.v)
	}
}

// The header stays small, and a call allocates itself and nothing else.
func TestCost(t *testing.T) {
	if n := unsafe.Sizeof(Task{}); n != 32 {
		t.Error("header of", n, "bytes")
	}
	e := start(t, Config{})
	ctx := with(e)
	one := func() { submit[int, int](e, ctx, inc, 1, Opts{}).get(e, ctx) }
	one()
	if n := testing.AllocsPerRun(5000, one); n >= 1.1 {
		t.Error(n, "allocations a call")
	}
}

func TestTakeReturn(t *testing.T) {
	e := start(t, Config{stall: time.Hour})
	ctx := with(e)
	gate := make(chan struct{})
	block := fn("block", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	b1, b2 := submit[int, int](e, ctx, block, 0, Opts{}), submit[int, int](e, ctx, block, 0, Opts{})
	started(t, e, 2)
	var cs []*call[int, int]
	for i := range 100 {
		cs = append(cs, submit[int, int](e, ctx, inc, i, Opts{}))
	}
	ts := e.Take(10, func(t *Task) bool { return (*call[int, int])(unsafe.Pointer(t)).a%2 == 0 })
	if len(ts) != 10 {
		t.Fatal(len(ts))
	}
	for i, x := range ts {
		if (*call[int, int])(unsafe.Pointer(x)).a != 2*i {
			t.Fatal("not the oldest that fit")
		}
	}
	short, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	if err := e.Await(short, ts[0]); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal("ran here", err)
	}
	(*call[int, int])(unsafe.Pointer(ts[0])).v = 1 // as another process would
	ts[0].Finish()
	e.Return(ts)
	close(gate)
	for i, c := range cs {
		if v, err := c.get(e, ctx); v != i+1 || err != nil {
			t.Fatal(i, v, err)
		}
	}
	b1.get(e, ctx)
	b2.get(e, ctx)
}

func TestOnQueued(t *testing.T) {
	e := start(t, Config{stall: time.Hour})
	ctx := with(e)
	var last atomic.Int64
	last.Store(-1)
	e.OnQueued(func(n int) { last.Store(int64(n)) })
	gate := make(chan struct{})
	block := fn("block", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	var cs []*call[int, int]
	for range 5 {
		cs = append(cs, submit[int, int](e, ctx, block, 0, Opts{}))
	}
	until(t, "load told", func() bool { return last.Load() > 0 })
	close(gate)
	for _, c := range cs {
		c.get(e, ctx)
	}
	until(t, "emptiness told", func() bool { return last.Load() == 0 })
}

// Wide tasks get all their slots; free ones need none.
func TestShapes(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var now, most atomic.Int32
	wide := fn("wide", func(context.Context, int) (int, error) {
		if n := now.Add(2); n > 2 {
			most.Store(n)
		}
		time.Sleep(100 * time.Microsecond)
		now.Add(-2)
		return 0, nil
	})
	thin := fn("thin", func(context.Context, int) (int, error) {
		if n := now.Add(1); n > 2 {
			most.Store(n)
		}
		time.Sleep(50 * time.Microsecond)
		now.Add(-1)
		return 0, nil
	})
	var ts []*Task
	for i := range 300 {
		f, o := thin, Opts{NoInline: true}
		if i%3 == 0 {
			f, o = wide, Opts{Milli: 1500}
		}
		ts = append(ts, &submit[int, int](e, ctx, f, 0, o).Task)
	}
	if err := e.WaitN(ctx, ts, len(ts)); err != nil || most.Load() != 0 {
		t.Fatal(err, most.Load())
	}
	if _, err := submit[int, int](e, ctx, wide, 0, Opts{Milli: 3000}).get(e, ctx); !errors.Is(err, ErrTooWide) {
		t.Fatal(err)
	}
	gate := make(chan struct{})
	free := fn("free", func(context.Context, int) (int, error) { <-gate; return 0, nil })
	ts = nil
	for range 100 {
		ts = append(ts, &submit[int, int](e, ctx, free, 0, Opts{Milli: NoSlot, NoInline: true}).Task)
	}
	until(t, "all free tasks started", func() bool { return len(e.free.active()) == 100 })
	if v, err := submit[int, int](e, ctx, inc, 1, Opts{NoInline: true}).get(e, ctx); v != 2 || err != nil {
		t.Fatal(v, err)
	}
	close(gate)
	if err := e.WaitN(ctx, ts, 100); err != nil {
		t.Fatal(err)
	}
}
