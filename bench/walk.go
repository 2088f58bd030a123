package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kadrehq/kadre/api"
)

// Scenarios is the table: every row that can be measured.
func Scenarios() []Scenario {
	return slices.Concat(walk(), []Scenario{firstResult()}, store(), storeProcs(), storeAPI(), directoryRows(), cluster(), netRows(),
		local(), []Scenario{wordcount()}, process())
}

// burst is how many calls are out at once in the -async rows.
const burst = 10_000

// walk has the steps of the walkthrough, each against plain Go in one process.
func walk() []Scenario {
	row := func(s Scenario) Scenario {
		s.Bench, s.Better, s.Samples, s.Allocs = "walk", Lower, 9, true
		return s
	}
	return []Scenario{
		row(Scenario{
			Name: "task-sync", Unit: nanoseconds, N: 50_000,
			Work:    "submits a task that squares an int and gets its result, one after the other",
			RefName: "go + channel, one goroutine and one channel a call",
			Setup:   embedded(func(ctx context.Context) (*Run, error) { return &Run{Ours: taskSync, Ref: goSync}, nil }),
		}),
		row(Scenario{
			Name: "task-async", Unit: nanoseconds, N: burst,
			Work:    "submits 10,000 tasks that square an int, then gets all results; time of one task",
			RefName: "go + channel, one goroutine and one channel a call, then receives from all",
			Setup:   embedded(func(ctx context.Context) (*Run, error) { return &Run{Ours: taskAsync, Ref: goAsync}, nil }),
		}),
		row(Scenario{
			Name: "actor-sync", Unit: nanoseconds, N: 20_000,
			Work:    "calls a method that adds to a counter in an actor and gets its result, one after the other",
			RefName: "channel round trip, one goroutine keeps the counter",
			Setup: embedded(func(ctx context.Context) (*Run, error) {
				c := newAdder.Remote(ctx)
				return &Run{Ours: actorSync(c), Ref: chanSync}, c.Ready(ctx)
			}),
		}),
		row(Scenario{
			Name: "actor-async", Unit: nanoseconds, N: burst,
			Work:    "makes 10,000 calls that add to a counter in one actor, then gets all results; time of one call",
			RefName: "10,000 channel sends to the goroutine that keeps the counter, then receives all answers",
			Setup: embedded(func(ctx context.Context) (*Run, error) {
				c := newAdder.Remote(ctx)
				return &Run{Ours: actorAsync(c), Ref: chanAsync}, c.Ready(ctx)
			}),
		}),
		row(Scenario{
			Name: "put-get-1k", Unit: nanoseconds, N: 20_000,
			Work:    "puts a []byte of 1 KiB and gets it back, a copy each way",
			RefName: "one copy of 1 KiB into a slice that is there",
			Setup: embedded(func(ctx context.Context) (*Run, error) {
				return &Run{Ours: putGet(1 << 10), Ref: copyBytes(1 << 10)}, nil
			}),
		}),
		row(Scenario{
			Name: "put-get-1m", Unit: microseconds, N: 200,
			Work:    "puts a []byte of 1 MiB and gets it back, a copy each way",
			RefName: "one copy of 1 MiB into a slice that is there",
			Setup: embedded(func(ctx context.Context) (*Run, error) {
				return &Run{Ours: putGet(1 << 20), Ref: copyBytes(1 << 20)}, nil
			}),
		}),
	}
}

var square = api.Func1(squareOf)

func squareOf(_ context.Context, x int) (int, error) { return x * x, nil }

type adder struct{ value int }

var (
	newAdder = api.Class0(makeAdder)
	add      = api.Method1((*adder).Add)
)

func makeAdder(context.Context) (*adder, error) { return &adder{}, nil }

func (a *adder) Add(_ context.Context, n int) (int, error) { a.value += n; return a.value, nil }

// embedded sets a scenario up on a node of its own in this process.
func embedded(setup func(ctx context.Context) (*Run, error)) func(context.Context) (*Run, error) {
	return func(ctx context.Context) (*Run, error) {
		rt, err := api.Init(ctx, api.Embedded())
		if err != nil {
			return nil, err
		}
		ctx = rt.With(ctx)
		run, err := setup(ctx)
		if err != nil {
			rt.Close()
			return nil, err
		}
		ours := run.Ours
		run.Ours = func(_ context.Context, n int) (float64, error) { return ours(ctx, n) }
		end := run.Close
		run.Close = func() error {
			err := rt.Close()
			if end != nil {
				err = errors.Join(err, end())
			}
			return err
		}
		return run, nil
	}
}

func taskSync(ctx context.Context, n int) (float64, error) {
	begin := time.Now()
	for i := range n {
		v, err := square.Remote(ctx, i).Get(ctx)
		if err != nil {
			return 0, err
		}
		if v != i*i {
			return 0, fmt.Errorf("square of %d is %d", i, v)
		}
	}
	return perOp(time.Since(begin), n, nanoseconds), nil
}

func taskAsync(ctx context.Context, n int) (float64, error) {
	refs := make([]api.Ref[int], n)
	begin := time.Now()
	for i := range refs {
		refs[i] = square.Remote(ctx, i)
	}
	vs, err := api.GetAll(ctx, refs)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	for i, v := range vs {
		if v != i*i {
			return 0, fmt.Errorf("square of %d is %d", i, v)
		}
	}
	return perOp(took, n, nanoseconds), nil
}

// actorSync goes on where the run before left the counter.
func actorSync(c api.Actor[adder]) Side {
	have := 0
	return func(ctx context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			v, err := add.Remote(ctx, c, 1).Get(ctx)
			if err != nil {
				return 0, err
			}
			if have++; v != have {
				return 0, fmt.Errorf("the counter is %d after %d calls", v, have)
			}
		}
		return perOp(time.Since(begin), n, nanoseconds), nil
	}
}

func actorAsync(c api.Actor[adder]) Side {
	have := 0
	return func(ctx context.Context, n int) (float64, error) {
		refs := make([]api.Ref[int], n)
		begin := time.Now()
		for i := range refs {
			refs[i] = add.Remote(ctx, c, 1)
		}
		vs, err := api.GetAll(ctx, refs)
		took := time.Since(begin)
		if err != nil {
			return 0, err
		}
		for _, v := range vs {
			if have++; v != have {
				return 0, fmt.Errorf("the counter is %d after %d calls", v, have)
			}
		}
		return perOp(took, n, nanoseconds), nil
	}
}

func putGet(size int) Side {
	return func(ctx context.Context, n int) (float64, error) {
		from := make([]byte, size)
		unit := putUnit(size)
		begin := time.Now()
		for i := range n {
			from[0], from[size-1] = byte(i), byte(i>>8)
			ref, err := api.Put(ctx, from)
			if err != nil {
				return 0, err
			}
			got, err := ref.Get(ctx)
			if err != nil {
				return 0, err
			}
			if len(got) != size || got[0] != byte(i) || got[size-1] != byte(i>>8) {
				return 0, fmt.Errorf("put %d got something else back", i)
			}
		}
		return perOp(time.Since(begin), n, unit), nil
	}
}
