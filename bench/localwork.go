package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kadrehq/kadre/api"
)

// spin computes for n rounds and gives a number that depends on all of them.
//
//go:noinline
func spin(n int) uint64 {
	x := uint64(n) | 1
	for range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	return x
}

// rounds is how many rounds of spin take d, at the best of some tries.
func rounds(d time.Duration) int {
	const try = 1 << 20
	best := time.Hour
	for range 7 {
		begin := time.Now()
		runtime.KeepAlive(spin(try))
		best = min(best, time.Since(begin))
	}
	return int(int64(try) * int64(d) / int64(best))
}

var spinTask = api.Func1(spinFor)

func spinFor(_ context.Context, n int) (uint64, error) { return spin(n), nil }

// workSides are tasks of 2 us against loops of the same computation.
func workSides() (*Run, error) {
	each := rounds(2 * time.Microsecond)
	want := spin(each)
	ours := func(ctx context.Context, n int) (float64, error) {
		begin := time.Now()
		refs := make([]api.Ref[uint64], n)
		for i := range refs {
			refs[i] = spinTask.Remote(ctx, each)
		}
		vs, err := api.GetAll(ctx, refs)
		took := time.Since(begin)
		if err == nil && (len(vs) != n || slices.ContainsFunc(vs, func(v uint64) bool { return v != want })) {
			err = errors.New("a task computed something else")
		}
		return perOp(took, 1, milliseconds), err
	}
	ref := func(_ context.Context, n int) (float64, error) {
		cpus := runtime.GOMAXPROCS(0)
		var wg sync.WaitGroup
		vs := make([]uint64, n)
		begin := time.Now()
		for c := range cpus {
			wg.Go(func() {
				for i := n * c / cpus; i < n*(c+1)/cpus; i++ {
					vs[i] = spin(each)
				}
			})
		}
		wg.Wait()
		took := time.Since(begin)
		if slices.ContainsFunc(vs, func(v uint64) bool { return v != want }) {
			return 0, errors.New("a goroutine computed something else")
		}
		return perOp(took, 1, milliseconds), nil
	}
	return &Run{Ours: ours, Ref: ref}, nil
}

func overlapSides() (*Run, error) {
	each := rounds(10 * time.Millisecond)
	want := spin(each)
	ours := func(ctx context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			ref := spinTask.Remote(ctx, each)
			mine := spin(each)
			if v, err := ref.Get(ctx); v != want || mine != want || err != nil {
				return 0, fmt.Errorf("the task computed %d, not %d: %w", v, want, err)
			}
		}
		return perOp(time.Since(begin), n, milliseconds), nil
	}
	ref := func(_ context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			if spin(each) != want {
				return 0, errors.New("computed something else")
			}
		}
		return perOp(time.Since(begin), n, milliseconds), nil
	}
	return &Run{Ours: ours, Ref: ref}, nil
}

const (
	lateLeft = 20 * time.Millisecond
	lateTask = 500 * time.Millisecond
)

// lateFuncs are functions that have never run, one for a sample.
var lateFuncs = func() (fs [41]*api.RemoteFunc0[None]) {
	for i := range fs {
		fs[i] = api.Proc0(late, api.RegisterAs(fmt.Sprint("bench.late", i)))
	}
	return fs
}()

// None is what a task without a result gives.
type None = api.None

func late(context.Context) error {
	time.Sleep(lateTask)
	return nil
}

func lateSides() (*Run, error) {
	next := 0
	ours := func(ctx context.Context, _ int) (float64, error) {
		if next == len(lateFuncs) {
			return 0, fmt.Errorf("%d samples at most: no function is left that has never run", len(lateFuncs)-1)
		}
		ref := lateFuncs[next].Remote(ctx)
		next++
		c, cancel := context.WithTimeout(ctx, lateLeft)
		defer cancel()
		begin := time.Now()
		_, err := ref.Get(c)
		took := time.Since(begin)
		if !errors.Is(err, context.DeadlineExceeded) {
			return 0, fmt.Errorf("getting gave %v and not its deadline", err)
		}
		if _, err := ref.Get(ctx); err != nil { // the next sample begins with idle CPUs
			return 0, err
		}
		return perOp(took, 1, milliseconds), nil
	}
	ref := func(context.Context, int) (float64, error) { return perOp(lateLeft, 1, milliseconds), nil }
	return &Run{Ours: ours, Ref: ref}, nil
}

// epoch is what started counts from.
var epoch = time.Now()

var startedAt = api.Func0(started)

// started is when its first instruction ran.
func started(context.Context) (time.Duration, error) { return time.Since(epoch), nil }

const (
	startShort = 2 * time.Millisecond
	startLong  = time.Second
	startSpin  = 5 * time.Millisecond // for which the submitter computes on
)

// startRows tell how long a task waits that nobody gets, while the goroutine that submitted it computes on. Beside it they
// tell how long in the same moments the machine takes to wake a bare thread, and Go a bare goroutine.
func startRows(row func(Scenario, func() (*Run, error)) Scenario) []Scenario {
	const work = "Remote to the first instruction of the task, while the submitter computes on, after executors had nothing to do " +
		"for 2 ms (49 times) and for 1 s (once): "
	const beside = "; in extra the same for waking a thread by a bare futex and a goroutine by a bare channel, in turn with it"
	pick := func(p float64) func() (*Run, error) {
		return func() (*Run, error) {
			thread, routine := newFutexWaker(), newGoWaker()
			r := &Run{Extra: map[string]any{}, Close: func() error { thread.close(); routine.close(); return nil }}
			seen := map[string][]float64{}
			note := func(kind string, v float64) { seen[kind] = append(seen[kind], v) }
			r.Ours = func(ctx context.Context, n int) (float64, error) {
				var all []float64
				for i := range n {
					idle, kind := startShort, "idle_2ms"
					if i == 0 {
						idle, kind = startLong, "idle_1s"
					}
					v, err := startOnce(ctx, idle)
					if err != nil {
						return 0, err
					}
					all = append(all, v)
					note(kind, v)
					note("futex_wake", wakeOnce(thread, startShort))
					note("goroutine_wake", wakeOnce(routine, startShort))
				}
				for kind, vs := range seen {
					r.Extra[kind] = round(percentile(vs, p))
				}
				return percentile(all, p), nil
			}
			return r, nil
		}
	}
	return []Scenario{
		row(Scenario{Name: "start", Unit: microseconds, N: 50, Work: work + "the median" + beside}, pick(0.5)),
		row(Scenario{Name: "start-p99", Unit: microseconds, N: 50, Work: work + "the 99th percentile" + beside}, pick(0.99)),
	}
}

// startOnce lets executors idle, submits and computes until the task has begun.
func startOnce(ctx context.Context, idle time.Duration) (float64, error) {
	time.Sleep(idle)
	begin := time.Since(epoch)
	ref := startedAt.Remote(ctx)
	for end := time.Now().Add(startSpin); time.Now().Before(end); {
		runtime.KeepAlive(spin(100))
	}
	at, err := ref.Get(ctx)
	return perOp(at-begin, 1, microseconds), err
}

// percentile is the smallest value that a share p of all does not exceed.
func percentile(vs []float64, p float64) float64 {
	s := slices.Sorted(slices.Values(vs))
	return s[min(len(s)-1, int(p*float64(len(s))))]
}
