package chaos

import (
	"context"
	"errors"
	"iter"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/api"
)

// stuckCase is something that cannot go on, or only seems so.
type stuckCase struct {
	name    string
	plant   func(ctx context.Context, b *stuckBed) (api.Ref[int], error)
	chain   []string // what the error names; of listed ones the function that is listed
	listed  string   // it is no deadlock, but listed as waiting for this
	told    string   // it ends by itself with this error
	is      func(error) bool
	healthy bool // it ends by itself
	after   func()
}

func (c *stuckCase) reported() string {
	switch {
	case c.healthy:
		return "ended, not reported,"
	case c.listed != "":
		return "listed as waiting for " + c.listed
	case c.told != "":
		return "ended with an " + c.told
	}
	return "deadlock with its chain"
}

// caller is an actor that calls others: the first of a list, which calls the next, and waits.
type caller struct{}

func newCaller(context.Context) (*caller, error) { return &caller{}, nil }

func (*caller) call(ctx context.Context, others []api.Actor[caller]) (int, error) {
	if len(others) == 0 {
		return 1, nil
	}
	n, err := callNext.Remote(ctx, others[0], others[1:]).Get(ctx)
	return n + 1, err
}

// board keeps references for tasks that cannot be given them: their own, and those of later ones.
type board struct{ refs map[string]api.Ref[int] }

func newBoard(context.Context) (*board, error) { return &board{map[string]api.Ref[int]{}}, nil }

func (b *board) pin(_ context.Context, name string, r api.Ref[int]) error {
	b.refs[name] = r
	return nil
}

func (b *board) read(_ context.Context, name string) (api.Ref[int], error) { return b.refs[name], nil }

// pinned waits for the reference of a name, and gives its value.
func pinned(ctx context.Context, b api.Actor[board], name string) (int, error) {
	r, err := awaitPin(ctx, b, name)
	if err != nil {
		return 0, err
	}
	vs, err := api.GetAll(ctx, []api.Ref[int]{r})
	if err != nil {
		return 0, err
	}
	return vs[0], nil
}

// awaitPin waits until there is a reference of a name.
func awaitPin(ctx context.Context, b api.Actor[board], name string) (api.Ref[int], error) {
	for {
		r, err := boardRead.Remote(ctx, b, name).Get(ctx)
		if err != nil || !r.IsZero() {
			return r, err
		}
		if err := rests(ctx, time.Millisecond); err != nil {
			return r, err
		}
	}
}

// nest waits for a task like itself, depth times.
func nest(ctx context.Context, depth int) (int, error) {
	if depth == 0 {
		return 0, nil
	}
	n, err := nested.Remote(ctx, depth-1).Get(ctx)
	return n + 1, err
}

var (
	newCallers = api.Class0(newCaller, api.RegisterAs("stuck caller"))
	callNext   *api.RemoteMethod1[caller, []api.Actor[caller], int]
	newBoards  = api.Class0(newBoard, api.RegisterAs("stuck board"))
	boardPin   = api.MethodProc2((*board).pin, api.RegisterAs("stuck pin"))
	boardRead  = api.Method1((*board).read, api.RegisterAs("stuck read"))
	getPinned  = api.Func2(pinned, api.RegisterAs("stuck pinned"))
	addOne     = api.Func1(func(_ context.Context, x int) (int, error) { return x + 1, nil }, api.RegisterAs("stuck addOne"))
	nested     *api.RemoteFunc1[int, int]
	idle       = api.Func1(func(ctx context.Context, d time.Duration) (int, error) { return 1, rests(ctx, d) }, api.NumCPUs(0), api.RegisterAs("stuck idle"))
	holdGPU    = api.Func1(func(ctx context.Context, d time.Duration) (int, error) { return 1, rests(ctx, d) },
		api.Resources(map[string]float64{gpu: 1}), api.RegisterAs("stuck holdGPU"))
	getGPU = api.Func0(func(ctx context.Context) (int, error) {
		return holdGPU.Options(api.OnNode(here(ctx), false)).Remote(ctx, 0).Get(ctx)
	}, api.Resources(map[string]float64{gpu: 1}), api.RegisterAs("stuck getGPU"))
	getTool = api.Func3(func(ctx context.Context, b api.Actor[board], other string, me string) (int, error) {
		if err := pin(ctx, b, "has "+me, api.Ref[int]{}); err != nil {
			return 0, err
		}
		if _, err := pinned(ctx, b, "start"); err != nil {
			return 0, err
		}
		return idle.Options(api.Resources(map[string]float64{other: 1}), api.OnNode(here(ctx), false)).Remote(ctx, 0).Get(ctx)
	}, api.RegisterAs("stuck getTool"))
	ownPID = api.Func2(func(ctx context.Context, b api.Actor[board], d time.Duration) (int, error) {
		r, err := api.Put(ctx, os.Getpid())
		if err == nil {
			err = pin(ctx, b, "pid", r)
		}
		if err != nil {
			return 0, err
		}
		return 1, rests(ctx, d)
	}, api.OwnProcess(), api.MaxRetries(0), api.RegisterAs("stuck ownPID"))
	waitFor = api.Func1(func(ctx context.Context, r []api.Ref[int]) (int, error) { return r[0].Get(ctx) }, api.RegisterAs("stuck waitFor"))
	counts  = api.Stream0(func(ctx context.Context) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := 0; yield(i, nil); i++ {
			}
		}
	}, api.Buffer(1), api.RegisterAs("stuck counts"))
)

func init() {
	callNext = api.Method1((*caller).call, api.RegisterAs("stuck call"))
	nested = api.Func1(nest, api.RegisterAs("stuck nest"))
}

func here(ctx context.Context) api.NodeID {
	i, _ := api.FromContext(ctx) // a task's
	return i.Node
}

func pin(ctx context.Context, b api.Actor[board], name string, r api.Ref[int]) error {
	_, err := boardPin.Remote(ctx, b, name, r).Get(ctx)
	return err
}

// callers makes actors that are there, and gives the call that goes round them.
func callers(ctx context.Context, n int, opts func(i int) []api.ClassOption) (api.Ref[int], error) {
	var ring []api.Actor[caller]
	for i := range n {
		a := newCallers.Options(opts(i)...).Remote(ctx)
		if err := a.Ready(ctx); err != nil {
			return api.Ref[int]{}, err
		}
		ring = append(ring, a)
	}
	return callNext.Remote(ctx, ring[0], append(ring[1:], ring[0])), nil
}

// ring is a case of actors that call each other in a ring.
func ringCase(name string, n int, opts func(b *stuckBed, i int) []api.ClassOption) stuckCase {
	return stuckCase{name: name, chain: []string{"stuck call", "waits for the actor"}, plant: func(ctx context.Context, b *stuckBed) (api.Ref[int], error) {
		return callers(ctx, n, func(i int) []api.ClassOption { return opts(b, i) })
	}}
}

func stuckCases() []stuckCase {
	plain := func(*stuckBed, int) []api.ClassOption { return nil }
	var stopped int
	return append([]stuckCase{
		ringCase("an actor calls itself and waits", 1, plain),
		ringCase("two actors call each other", 2, plain),
		ringCase("three actors in a ring, a process each", 3, func(*stuckBed, int) []api.ClassOption { return []api.ClassOption{api.OwnProcess()} }),
		ringCase("two actors on two nodes", 2, func(b *stuckBed, i int) []api.ClassOption {
			return []api.ClassOption{api.OnNode(api.NodeID(b.nodes[i].ID), false)}
		}),
		{name: "a task waits for what takes its result", chain: []string{"stuck pinned", "takes the result of"}, plant: plantSelf},
		{name: "two tasks on two nodes wait for each other", chain: []string{"stuck pinned"}, plant: plantPair},
		{name: "a task waits for a child that needs its gpu", chain: []string{"stuck getGPU", "waits for gpu, held by"},
			plant: func(ctx context.Context, _ *stuckBed) (api.Ref[int], error) { return getGPU.Remote(ctx), nil }},
		{name: "two tasks want what the other one holds", chain: []string{"stuck getTool", "held by"}, plant: plantTools},
		{name: "a gpu that is held for ever", listed: "gpu=1 (0 of 1 free)", chain: []string{"stuck getGPU"}, plant: func(ctx context.Context, b *stuckBed) (api.Ref[int], error) {
			at := api.OnNode(api.NodeID(b.nodes[0].ID), false)
			holdGPU.Options(at).Remote(ctx, stuckHang)
			return getGPU.Options(at).Remote(ctx), nil
		}},
		{name: "a stream that nobody reads", listed: "somebody to read its stream", chain: []string{"stuck counts"}, plant: func(ctx context.Context, _ *stuckBed) (api.Ref[int], error) {
			s := counts.Remote(ctx)
			for range s.Values(ctx) {
				break
			}
			unread = counts.Remote(ctx)
			return api.Ref[int]{}, nil
		}, after: func() { runtime.KeepAlive(unread) }},
		{name: "a process that a signal has stopped", listed: "it is stopped by a signal", chain: []string{"stuck ownPID"},
			plant: func(ctx context.Context, b *stuckBed) (_ api.Ref[int], err error) {
				stopped, err = plantStopped(ctx)
				return api.Ref[int]{}, err
			}, after: func() { syscall.Kill(stopped, syscall.SIGKILL) }},
		{name: "tasks that wait for their children's slots", healthy: true, plant: func(ctx context.Context, _ *stuckBed) (api.Ref[int], error) { return nested.Remote(ctx, 200), nil }},
	}, moreStuckCases()...)
}

// unread keeps a stream, which ends when nobody holds it.
var unread api.Stream[int]

func plantSelf(ctx context.Context, _ *stuckBed) (api.Ref[int], error) {
	b := newBoards.Remote(ctx)
	r := getPinned.Remote(ctx, b, "later")
	return r, pin(ctx, b, "later", addOne.With(ctx, r))
}

func plantPair(ctx context.Context, bed *stuckBed) (api.Ref[int], error) {
	b := newBoards.Remote(ctx)
	on := func(i int) *api.RemoteFunc2[api.Actor[board], string, int] {
		return getPinned.Options(api.OnNode(api.NodeID(bed.nodes[i].ID), false))
	}
	x, y := on(0).Remote(ctx, b, "y"), on(1).Remote(ctx, b, "x")
	return x, errors.Join(pin(ctx, b, "x", x), pin(ctx, b, "y", y))
}

func plantTools(ctx context.Context, bed *stuckBed) (api.Ref[int], error) {
	b := newBoards.Remote(ctx)
	task := func(mine, other string) api.Ref[int] {
		return getTool.Options(api.Resources(map[string]float64{mine: 1}), api.OnNode(api.NodeID(bed.nodes[0].ID), false)).Remote(ctx, b, other, mine)
	}
	x, y := task(gpu, "lathe"), task("lathe", gpu)
	one, err := api.Put(ctx, 1)
	if err != nil {
		return x, err
	}
	// Both hold what is theirs when both run: each is given it before it starts.
	for _, name := range []string{gpu, "lathe"} {
		for {
			rows, err := boardHas.Remote(ctx, b, "has "+name).Get(ctx)
			if err != nil {
				return x, err
			}
			if rows {
				break
			}
			if err := rests(ctx, time.Millisecond); err != nil {
				return x, err
			}
		}
	}
	if err := pin(ctx, b, "start", one); err != nil {
		return x, err
	}
	return waitFirst.Remote(ctx, []api.Ref[int]{x, y}), nil
}

var (
	boardHas = api.Method1(func(b *board, _ context.Context, name string) (bool, error) {
		_, ok := b.refs[name]
		return ok, nil
	}, api.RegisterAs("stuck has"))
	// waitFirst gives the error of the one that got one: the other goes on then.
	waitFirst = api.Func1(func(ctx context.Context, rs []api.Ref[int]) (int, error) {
		_, err := api.GetAll(ctx, rs)
		return 0, err
	}, api.NumCPUs(0), api.RegisterAs("stuck waitFirst"))
)

func plantStopped(ctx context.Context) (pid int, err error) {
	b := newBoards.Remote(ctx)
	r := ownPID.Remote(ctx, b, stuckHang)
	if pid, err = getPinned.Remote(ctx, b, "pid").Get(ctx); err != nil {
		return 0, err
	}
	waitFor.Remote(ctx, []api.Ref[int]{r})
	return pid, syscall.Kill(pid, syscall.SIGSTOP)
}
