package bench

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/kadrehq/kadre/api"
)

const (
	million = 1_000_000
	fibN    = 27
	fibIs   = 196418
)

// local has the rows of tasks in one process, each against plain Go.
func local() []Scenario {
	row := func(s Scenario, run func() (*Run, error)) Scenario {
		s.Bench, s.Better = "local", Lower
		if s.Samples == 0 {
			s.Samples = 7
		}
		s.Setup = embedded(func(context.Context) (*Run, error) { return run() })
		return s
	}
	sides := func(ours, ref Side) func() (*Run, error) {
		return func() (*Run, error) { return &Run{Ours: ours, Ref: ref}, nil }
	}
	return slices.Concat([]Scenario{
		row(Scenario{Name: "remote-get", Unit: nanoseconds, N: 200_000, Allocs: true,
			Work:    "Remote and Get of a task that returns its int, one at a time",
			RefName: "go + channel, one goroutine and one channel a call"}, sides(getEach, goEach)),
		row(Scenario{Name: "million-remote", Unit: nanoseconds, N: million, Allocs: true,
			Work:    "1,000,000 Remote of a task that returns its int, then GetAll; time of one task",
			RefName: "go + channel, one goroutine and one channel a call, then receives from all"}, sides(manyRemote, goMany)),
		row(Scenario{Name: "million-map", Unit: nanoseconds, N: million, Allocs: true,
			Work:    "1,000,000 such tasks by one Map, then GetAll; time of one task",
			RefName: "go + channel, one goroutine and one channel a call, then receives from all"}, sides(manyMap, goMany)),
		row(Scenario{Name: "fib27", Unit: milliseconds, N: 1,
			Work:    "fib(27) by nested tasks, both children remote, the first gotten first",
			RefName: "the same with a goroutine and a channel for each child"}, sides(fibTasks, fibGo)),
		row(Scenario{Name: "million-work", Unit: milliseconds, N: million, Samples: 5,
			Work:    "1,000,000 Remote of a task that computes for 2 us, then GetAll, on all CPUs",
			RefName: "one goroutine for each CPU with its share of the same computations in a loop"}, workSides),
		row(Scenario{Name: "overlap", Unit: milliseconds, N: 20,
			Work:    "submits a task that computes for 10 ms, computes for 10 ms itself, gets the result; time of one round of 20",
			RefName: "computing for 10 ms"}, overlapSides),
		row(Scenario{Name: "get-deadline", Unit: nanoseconds, N: 200_000, Allocs: true,
			Work:    "remote-get with a context with a deadline of 1 s, a new one for each 1,000 calls",
			RefName: "go + channel, one goroutine and one channel a call"}, sides(getDeadline, goEach)),
		row(Scenario{Name: "deadline-kept", Unit: milliseconds, N: 1,
			Work:    "Get with 20 ms left of a task of 500 ms that is the first call of its function: when it returns; up to 40 samples",
			RefName: "20 ms"}, lateSides),
		row(Scenario{Name: "outstanding", Unit: "B", N: million, Samples: 5, Allocs: true,
			Work: "submits 1,000,000 tasks that return their int while the CPUs are taken, and looks how much larger the live heap is, " +
				"for each task, without the caller's slice of Refs; then gets all"}, sides(outstanding, nil)),
	}, startRows(row), uts(row))
}

var (
	same     = api.Func1(sameInt)
	fibonacc *api.RemoteFunc1[int, int]
	hold     = api.Func1(holdSlot)
)

func init() { fibonacc = api.Func1(fib) }

func sameInt(_ context.Context, x int) (int, error) { return x, nil }

func getEach(ctx context.Context, n int) (float64, error) {
	begin := time.Now()
	for i := range n {
		if v, err := same.Remote(ctx, i).Get(ctx); v != i || err != nil {
			return 0, fmt.Errorf("task %d gave %d: %w", i, v, err)
		}
	}
	return perOp(time.Since(begin), n, nanoseconds), nil
}

func goEach(_ context.Context, n int) (float64, error) {
	begin := time.Now()
	for i := range n {
		ch := make(chan int, 1)
		go func() { ch <- i }()
		if v := <-ch; v != i {
			return 0, fmt.Errorf("goroutine %d gave %d", i, v)
		}
	}
	return perOp(time.Since(begin), n, nanoseconds), nil
}

func getDeadline(ctx context.Context, n int) (float64, error) {
	const each = 1000
	begin := time.Now()
	for done := 0; done < n; done += each {
		c, cancel := context.WithTimeout(ctx, time.Second)
		_, err := getEach(c, each)
		cancel()
		if err != nil {
			return 0, err
		}
	}
	return perOp(time.Since(begin), n, nanoseconds), nil
}

func manyRemote(ctx context.Context, n int) (float64, error) {
	begin := time.Now()
	refs := make([]api.Ref[int], n)
	for i := range refs {
		refs[i] = same.Remote(ctx, i)
	}
	vs, err := api.GetAll(ctx, refs)
	took := time.Since(begin)
	return perOp(took, n, nanoseconds), checkSame(vs, n, err)
}

func manyMap(ctx context.Context, n int) (float64, error) {
	xs := make([]int, n)
	for i := range xs {
		xs[i] = i
	}
	begin := time.Now()
	vs, err := api.GetAll(ctx, same.Map(ctx, xs))
	took := time.Since(begin)
	return perOp(took, n, nanoseconds), checkSame(vs, n, err)
}

func checkSame(vs []int, n int, err error) error {
	if err != nil {
		return err
	}
	if len(vs) != n {
		return fmt.Errorf("%d results of %d", len(vs), n)
	}
	for i, v := range vs {
		if v != i {
			return fmt.Errorf("task %d gave %d", i, v)
		}
	}
	return nil
}

func goMany(_ context.Context, n int) (float64, error) {
	begin := time.Now()
	chs := make([]chan int, n)
	for i := range chs {
		ch := make(chan int, 1)
		chs[i] = ch
		go func() { ch <- i }()
	}
	vs := make([]int, n)
	for i, ch := range chs {
		vs[i] = <-ch
	}
	took := time.Since(begin)
	return perOp(took, n, nanoseconds), checkSame(vs, n, nil)
}

func fib(ctx context.Context, n int) (int, error) {
	if n < 2 {
		return n, nil
	}
	a, b := fibonacc.Remote(ctx, n-1), fibonacc.Remote(ctx, n-2)
	x, err := a.Get(ctx)
	if err != nil {
		return 0, err
	}
	y, err := b.Get(ctx)
	return x + y, err
}

func fibTasks(ctx context.Context, _ int) (float64, error) {
	begin := time.Now()
	v, err := fibonacc.Remote(ctx, fibN).Get(ctx)
	if err == nil && v != fibIs {
		err = fmt.Errorf("fib(%d) is %d", fibN, v)
	}
	return perOp(time.Since(begin), 1, milliseconds), err
}

func goFib(n int) int {
	if n < 2 {
		return n
	}
	a, b := make(chan int, 1), make(chan int, 1)
	go func() { a <- goFib(n - 1) }()
	go func() { b <- goFib(n - 2) }()
	return <-a + <-b
}

func fibGo(context.Context, int) (float64, error) {
	begin := time.Now()
	if v := goFib(fibN); v != fibIs {
		return 0, fmt.Errorf("fib(%d) is %d", fibN, v)
	}
	return perOp(time.Since(begin), 1, milliseconds), nil
}

// holdSlot keeps a CPU slot until it is let go.
func holdSlot(_ context.Context, i int) (int, error) {
	holding <- struct{}{}
	<-letGo
	return i, nil
}

var holding, letGo = make(chan struct{}), make(chan struct{})

// outstanding counts what tasks take that nobody can start.
func outstanding(ctx context.Context, n int) (float64, error) {
	held := make([]api.Ref[int], runtime.GOMAXPROCS(0))
	for i := range held {
		held[i] = hold.Remote(ctx, i)
	}
	for range held {
		<-holding
	}
	refs := make([]api.Ref[int], n)
	live := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := live()
	for i := range refs {
		refs[i] = same.Remote(ctx, i)
	}
	after := live()
	for range held {
		letGo <- struct{}{}
	}
	vs, err := api.GetAll(ctx, refs)
	if err := checkSame(vs, n, err); err != nil {
		return 0, err
	}
	if _, err := api.GetAll(ctx, held); err != nil {
		return 0, err
	}
	return float64(after-before) / float64(n), nil
}
