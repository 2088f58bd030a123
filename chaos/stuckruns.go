package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/kadrehq/kadre/api"
)

const (
	runsAtATime = 64
	maxFailures = 5 // that are told
	longRest    = 1500 * time.Millisecond
)

// healthyRuns makes runs at random that wait in many ways and all end. It says how many of them waited for more
// than a second, and which failed.
func healthyRuns(ctx context.Context, o Options) (long int, failed []error) {
	ctx, cancel := context.WithTimeout(ctx, stuckHang+time.Duration(o.Runs)*200*time.Millisecond)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	room := make(chan struct{}, runsAtATime)
	for i := range o.Runs {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			r := rand.New(rand.NewPCG(o.Seed, uint64(i)))
			rest := time.Duration(r.IntN(3000)) * time.Microsecond
			if r.IntN(6) == 0 {
				rest = longRest
			}
			kind := r.IntN(len(healthy))
			err := healthy[kind](ctx, r, rest)
			mu.Lock()
			defer mu.Unlock()
			if rest == longRest {
				long++
			}
			if err != nil && len(failed) < maxFailures {
				failed = append(failed, fmt.Errorf("run %d of kind %d: %w", i, kind, err))
			}
		})
	}
	wg.Wait()
	return long, failed
}

// healthy are the kinds of runs. Each waits for a task that rests.
var healthy = []func(ctx context.Context, r *rand.Rand, rest time.Duration) error{
	func(ctx context.Context, r *rand.Rand, rest time.Duration) error { // a tree
		_, err := tree.Remote(ctx, 1+r.IntN(4), rest).Get(ctx)
		return err
	},
	func(ctx context.Context, r *rand.Rand, rest time.Duration) error { // a chain of arguments, got by tasks
		refs := []api.Ref[int]{idle.Remote(ctx, rest)}
		for range 1 + r.IntN(6) {
			refs = append(refs, addOne.With(ctx, refs[r.IntN(len(refs))]))
		}
		_, err := getEach.Remote(ctx, refs).Get(ctx)
		return err
	},
	func(ctx context.Context, r *rand.Rand, rest time.Duration) error { // actors that call the next, and many who call the first
		var line []api.Actor[rester]
		for range 1 + r.IntN(3) {
			line = append(line, newResters.Remote(ctx))
		}
		var refs []api.Ref[int]
		for range 1 + r.IntN(4) {
			refs = append(refs, restNext.Remote(ctx, line[0], line[1:], rest))
			rest = 0
		}
		_, err := getEach.Remote(ctx, refs).Get(ctx)
		for _, a := range line {
			a.Kill(ctx)
		}
		return err
	},
	func(ctx context.Context, r *rand.Rand, rest time.Duration) error { // some of several, as they finish
		_, err := some.Remote(ctx, 1+r.IntN(3), rest).Get(ctx)
		return err
	},
	func(ctx context.Context, r *rand.Rand, rest time.Duration) error { // a resource that others hold for a while
		holdGPU.Remote(ctx, rest)
		_, err := waitFor.Remote(ctx, []api.Ref[int]{holdGPU.Remote(ctx, 0)}).Get(ctx)
		return err
	},
}

// rester is an actor that passes a call on, and rests at the end.
type rester struct{}

func newRester(context.Context) (*rester, error) { return &rester{}, nil }

func (*rester) rest(ctx context.Context, others []api.Actor[rester], d time.Duration) (int, error) {
	if len(others) == 0 {
		return idle.Remote(ctx, d).Get(ctx)
	}
	return restNext.Remote(ctx, others[0], others[1:], d).Get(ctx)
}

func growTree(ctx context.Context, depth int, rest time.Duration) (int, error) {
	if depth == 0 {
		return idle.Remote(ctx, rest).Get(ctx)
	}
	vs, err := api.GetAll(ctx, []api.Ref[int]{tree.Remote(ctx, depth-1, rest), tree.Remote(ctx, depth-1, 0)})
	return len(vs), err
}

var (
	newResters = api.Class0(newRester, api.RegisterAs("stuck rester"))
	restNext   *api.RemoteMethod2[rester, []api.Actor[rester], time.Duration, int]
	tree       *api.RemoteFunc2[int, time.Duration, int]
	getEach    = api.Func1(func(ctx context.Context, refs []api.Ref[int]) (n int, err error) {
		for _, r := range refs {
			if _, err := r.Get(ctx); err != nil {
				return n, err
			}
			n++
		}
		return n, nil
	}, api.RegisterAs("stuck getEach"))
	some = api.Func2(func(ctx context.Context, n int, rest time.Duration) (int, error) {
		var refs []api.Ref[int]
		for range n {
			refs = append(refs, idle.Remote(ctx, rest))
		}
		if _, _, err := api.Wait(ctx, refs, api.NumReturns(n)); err != nil {
			return 0, err
		}
		for _, r := range api.Completed(ctx, append(refs, idle.Remote(ctx, rest))) {
			if _, err := r.Get(ctx); err != nil {
				return 0, err
			}
		}
		return n, nil
	}, api.RegisterAs("stuck some"))
)

func init() {
	restNext = api.Method2((*rester).rest, api.RegisterAs("stuck rest"))
	tree = api.Func2(growTree, api.RegisterAs("stuck tree"))
}
