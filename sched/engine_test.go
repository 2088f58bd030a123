package sched

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strings"
	"sync"
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

func TestFailures(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	c := submit[int, int](e, ctx, odd, 3, Opts{})
	if _, err := c.get(e, ctx); !errors.Is(err, errOdd) || c.Failure() != err {
		t.Fatal(err)
	}
	var pe *PanicError
	if _, err := submit[int, int](e, ctx, odd, 8, Opts{}).get(e, ctx); !errors.As(err, &pe) || pe.Value != "boom" || !strings.Contains(string(pe.Stack), "sched") {
		t.Fatal(err)
	}
	if _, err := then(e, ctx, submit[int, int](e, ctx, odd, 3, Opts{})).get(e, ctx); !errors.Is(err, errOdd) {
		t.Fatal(err)
	}
	cs := []*Task{&submit[int, int](e, ctx, odd, 2, Opts{}).Task, &submit[int, int](e, ctx, odd, 5, Opts{}).Task, &submit[int, int](e, ctx, odd, 7, Opts{}).Task}
	if i, err := awaitAll(e, ctx, cs); i != 1 || !errors.Is(err, errOdd) {
		t.Fatal(i, err)
	}
}

func TestGoexit(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	exit := fn("exit", func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	for range 20 {
		c := submit[int, int](e, ctx, exit, 1, Opts{NoInline: true})
		if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
			t.Fatal(err)
		}
	}
	c := submit[int, int](e, ctx, exit, 1, Opts{}) // known by now: the test's goroutine does not run it
	if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
		t.Fatal(err)
	}
	c = submit[int, int](e, ctx, exit, 1, Opts{Milli: NoSlot})
	if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
		t.Fatal(err)
	}
	c = submit[int, int](e, ctx, exit, 1, Opts{Milli: 2000})
	if _, err := c.get(e, ctx); !errors.Is(err, ErrGoexit) {
		t.Fatal(err)
	}
	until(t, "slots back", func() bool { return e.Stats().Running == 0 })
	if v, err := submit[int, int](e, ctx, fib, 12, Opts{}).get(e, ctx); v != 144 || err != nil {
		t.Fatal(v, err)
	}
	until(t, "executors replaced", func() bool { s := e.Stats(); return s.Idle == s.Executors && s.Executors <= 6 })
}

func TestWaitN(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var hold [3]call[int, int]
	var ts []*Task
	for i := range hold {
		hold[i].InitExternal(inc, nil)
		ts = append(ts, &hold[i].Task)
	}
	short, cancel := context.WithTimeout(ctx, 5*time.Millisecond)
	defer cancel()
	if err := e.WaitN(short, ts, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	hold[1].Finish()
	if err := e.WaitN(ctx, ts, 1); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- e.WaitN(ctx, ts, 3) }()
	hold[0].Fail(errOdd)
	select {
	case <-done:
		t.Fatal("returned after 2 of 3")
	case <-time.After(2 * time.Millisecond):
	}
	hold[2].Finish()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := e.Await(short, &hold[0].Task); err != errOdd {
		t.Fatal(err)
	}
	for i := range hold {
		if x := hold[i].ext.Load(); x != nil && x.list.Load() != nil {
			t.Error("waiter left behind on", i)
		}
	}
}

func TestOnDone(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	var n atomic.Int32
	c := submit[int, int](e, ctx, inc, 1, Opts{})
	for range 3 {
		c.OnDone(func() { n.Add(1) })
	}
	until(t, "calls", func() bool { return n.Load() == 3 })
	c.OnDone(func() { n.Add(1) })
	if n.Load() != 4 {
		t.Fatal("not at once")
	}
}

func TestSettle(t *testing.T) {
	var c call[int, int]
	c.InitExternal(inc, nil)
	var wins atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if c.Settle() {
				c.v = i + 1
				c.Finish()
				wins.Add(1)
			}
		})
	}
	wg.Wait()
	if wins.Load() != 1 || c.v == 0 || !c.Finished() {
		t.Fatal(wins.Load(), c.v)
	}
	if c.Func() != inc || c.FinishAs(3) || c.Tag() != 0 {
		t.Fatal(c.Tag())
	}
	c = call[int, int]{}
	c.InitExternal(inc, nil)
	if !c.FinishAs(3) || c.Tag() != 3 || !c.Finished() {
		t.Fatal(c.Tag())
	}
}

// A lone task that nobody gets must start by itself, soon.
func TestLone(t *testing.T) {
	e := start(t, Config{})
	ctx := with(e)
	for i := range 30 {
		time.Sleep(time.Duration(rand.IntN(30)) * time.Millisecond) // executors awake, watching or parked
		c := submit[int, int](e, ctx, inc, 1, Opts{})
		until(t, fmt.Sprint("start ", i), c.Ready)
	}
}

// The depth of tasks that wait for each other is not bounded by the slots, also where the engine cannot see the wait.
func TestBlindNesting(t *testing.T) {
	e := start(t, Config{stall: 20 * time.Millisecond})
	ctx := with(e)
	var blind *Func
	blind = fn("blind", func(_ context.Context, d int) (int, error) {
		if d == 0 {
			return 0, nil
		}
		c := submit[int, int](e, ctx, blind, d-1, Opts{NoInline: true})
		done := make(chan struct{})
		c.OnDone(func() { close(done) })
		<-done
		return c.v + 1, nil
	})
	if v, err := submit[int, int](e, ctx, blind, 20, Opts{}).get(e, ctx); v != 20 || err != nil {
		t.Fatal(v, err, e.Stats())
	}
	until(t, "added slots gone", func() bool {
		submit[int, int](e, ctx, inc, 1, Opts{NoInline: true}).get(e, ctx)
		return e.Stats().Extra == 0
	})
}

// A task that waits outside of the engine and says so holds no slot.
func TestBlock(t *testing.T) {
	e := start(t, Config{Slots: 1, stall: time.Hour})
	ctx := with(e)
	gate := make(chan struct{})
	waits := fn("waits", func(c context.Context, _ int) (int, error) {
		resume := e.Block(c)
		defer resume()
		defer e.Block(c)() // gives nothing: the first has
		<-gate
		return 1, nil
	})
	c := submit[int, int](e, ctx, waits, 0, Opts{NoInline: true})
	if v, err := submit[int, int](e, ctx, inc, 1, Opts{NoInline: true}).get(e, ctx); v != 2 || err != nil {
		t.Fatal(v, err)
	}
	if c.Ready() || e.Stats().Extra != 0 {
		t.Fatal(e.Stats())
	}
	e.Block(ctx)()
	close(gate)
	if v, err := c.get(e, ctx); v != 1 || err != nil {
		t.Fatal(v, err)
	}
	until(t, "slots whole", func() bool { return e.Stats().Running == 0 })
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

// Random load from many goroutines; a stall of 10 s is a lost wake-up. KADRE_STRESS=10m for a long run.
func TestLoad(t *testing.T) {
	d := time.Second
	if s := os.Getenv("KADRE_STRESS"); s != "" {
		var err error
		if d, err = time.ParseDuration(s); err != nil {
			t.Fatal(err)
		}
	}
	e := start(t, Config{})
	ctx := with(e)
	end := time.Now().Add(d)
	var wg sync.WaitGroup
	var ops atomic.Int64
	stop := make(chan struct{})
	wg.Go(func() {
		for last := int64(-1); ; {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Second):
			}
			n := ops.Load()
			if n == last {
				panic(fmt.Sprint("stall after ", n, " operations: ", e.Stats()))
			}
			last = n
		}
	})
	var load sync.WaitGroup
	for g := range 6 {
		load.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), uint64(end.UnixNano())))
			for time.Now().Before(end) {
				loadStep(e, ctx, rnd)
				ops.Add(1)
			}
		})
	}
	load.Wait()
	close(stop)
	wg.Wait()
	t.Log(ops.Load(), "operations;", e.Stats())
}

func loadStep(e *Engine, ctx context.Context, rnd *rand.Rand) {
	check := func(v, want int, err error) {
		if v != want || err != nil {
			panic(fmt.Sprint(v, " instead of ", want, ": ", err))
		}
	}
	switch rnd.IntN(11) {
	case 0:
		v, err := submit[int, int](e, ctx, fib, 10, Opts{}).get(e, ctx)
		check(v, 55, err)
	case 1:
		v, err := submit[int, int](e, ctx, chain, 20, Opts{}).get(e, ctx)
		check(v, 20, err)
	case 2:
		c := submit[int, int](e, ctx, inc, 1, Opts{})
		n := rnd.IntN(20)
		for range n {
			c = then(e, ctx, c)
		}
		if rnd.IntN(2) == 0 {
			check(0, 0, e.WaitN(ctx, []*Task{&c.Task}, 1))
		}
		v, err := c.get(e, ctx)
		check(v, n+2, err)
	case 3:
		var ts []*Task
		for range rnd.IntN(40) {
			ts = append(ts, &submit[int, int](e, ctx, inc, 1, Opts{}).Task)
		}
		for n := range ts {
			check(0, 0, e.WaitN(ctx, ts, n+1))
		}
	case 4:
		c, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
		submit[time.Duration, int](e, ctx, nap1, time.Duration(rnd.IntN(300))*time.Microsecond, Opts{}).get(e, c)
		cancel()
	case 5:
		c, cancel := context.WithTimeout(ctx, time.Duration(rnd.IntN(300))*time.Microsecond)
		var cs []*call[int, int]
		for range rnd.IntN(50) {
			cs = append(cs, submit[int, int](e, c, inc, 1, Opts{}))
		}
		for _, x := range cs {
			if v, err := x.get(e, ctx); err != nil && !errors.Is(err, ErrCancelled) || err == nil && v != 2 {
				panic(err)
			}
		}
		cancel()
	case 6:
		time.Sleep(time.Duration(rnd.IntN(15)) * time.Millisecond)
	case 7:
		c := submit[int, int](e, ctx, odd, rnd.IntN(50), Opts{})
		e.WaitN(ctx, []*Task{&c.Task}, 1)
		c.get(e, ctx)
	case 8:
		c := submit[int, int](e, ctx, tree, 4, Opts{Milli: []uint32{1000, 2000, NoSlot}[rnd.IntN(3)]})
		v, err := c.get(e, ctx)
		check(v, 121, err)
	case 10:
		n := rnd.IntN(2000)
		cs := submitAll(e, ctx, inc, n)
		ts := make([]*Task, n)
		for i, c := range cs {
			ts[i] = &c.Task
		}
		if rnd.IntN(2) == 0 {
			check(0, 0, e.WaitN(ctx, ts, n))
		}
		_, err := awaitAll(e, ctx, ts)
		check(0, 0, err)
	case 9:
		var cs []*call[int, int]
		for range 100 {
			cs = append(cs, submit[int, int](e, ctx, inc, 1, Opts{}))
		}
		e.Return(e.Take(rnd.IntN(50), func(*Task) bool { return true }))
		for _, c := range cs {
			v, err := c.get(e, ctx)
			check(v, 2, err)
		}
	}
}
