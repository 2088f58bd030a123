package chaos

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/kadrehq/kadre/api"
)

// Plants of stuck that wait in other ways than by Get, for what others keep, or for what is nowhere.

const (
	floodCalls = 2000 // calls of floodBytes each: more than a ring between two processes has room for, twice
	floodBytes = 4096
	hoardBytes = 48 << 20 // of a store of 64 MiB
)

// pinnedBy waits for the reference of a name in some way, and gives its value.
func pinnedBy(ctx context.Context, b api.Actor[board], name, how string) (int, error) {
	r, err := awaitPin(ctx, b, name)
	if err != nil {
		return 0, err
	}
	switch refs := []api.Ref[int]{r}; how {
	case "Wait":
		_, _, err = api.Wait(ctx, refs)
	case "Completed":
		for range api.Completed(ctx, refs) { // it ends when the wait was ended
		}
	}
	if err != nil {
		return 0, err
	}
	return r.Get(ctx)
}

// asker is an actor whose methods wait for others.
type asker struct{}

func newAsker(context.Context) (*asker, error) { return &asker{}, nil }

func (*asker) pinned(ctx context.Context, b api.Actor[board], name string) (int, error) {
	return pinned(ctx, b, name)
}

func (*asker) useGPU(ctx context.Context) (int, error) {
	return holdGPU.Options(api.OnNode(here(ctx), false)).Remote(ctx, 0).Get(ctx)
}

func (*asker) take(_ context.Context, b []byte) (int, error) { return len(b), nil }

// fills keeps most of the store, and says so.
func fills(ctx context.Context, b api.Actor[board]) (int, error) {
	a, err := api.NewArray[byte](ctx, hoardBytes)
	if err != nil {
		return 0, err
	}
	defer a.Release()
	if err := pin(ctx, b, "hoarded", api.Ref[int]{}); err != nil {
		return 0, err
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

var (
	getPinnedBy = api.Func3(pinnedBy, api.RegisterAs("stuck pinnedBy"))
	newAskers   = api.Class0(newAsker, api.RegisterAs("stuck asker"))
	askPinned   = api.Method2((*asker).pinned, api.RegisterAs("stuck ask"))
	askGPU      = api.Method0((*asker).useGPU, api.RegisterAs("stuck askGPU"))
	askPID      = api.Method0(func(*asker, context.Context) (int, error) { return os.Getpid(), nil }, api.RegisterAs("stuck askPID"))
	askTake     = api.Method1((*asker).take, api.RegisterAs("stuck take"))
	keepMost    = api.Func1(fills, api.NumCPUs(0), api.MaxRetries(0), api.RegisterAs("stuck fills"))
	wantMuch    = api.Func0(func(ctx context.Context) (int, error) {
		a, err := api.NewArray[byte](ctx, hoardBytes)
		if err == nil {
			a.Release()
		}
		return 1, err
	}, api.MaxRetries(0), api.RegisterAs("stuck wantMuch"))
)

func moreStuckCases() []stuckCase {
	var stopped int
	return []stuckCase{
		ringCase("four actors, by turns on two nodes", 4, func(b *stuckBed, i int) []api.ClassOption {
			return []api.ClassOption{api.OnNode(api.NodeID(b.nodes[i%2].ID), false)}
		}),
		{name: "two tasks on two nodes, by Wait and Completed", chain: []string{"stuck pinnedBy"}, plant: plantWaits},
		{name: "a task and an actor on two nodes", chain: []string{"stuck pinned", "stuck ask"}, plant: plantTaskAndActor},
		{name: "calls behind one that wants a held gpu", listed: "gpu=1 (0 of 1 free)", chain: []string{"stuck take"}, plant: plantQueue},
		{name: "calls that fill the ring of a stopped process", listed: "it is stopped by a signal", chain: []string{"stuck waitFor"},
			plant: func(ctx context.Context, b *stuckBed) (_ api.Ref[int], err error) {
				stopped, err = plantFlood(ctx, b)
				return api.Ref[int]{}, err
			}, after: func() { syscall.Kill(stopped, syscall.SIGKILL) }},
		{name: "a store that somebody keeps full", listed: "bytes in the object store of node", chain: []string{"stuck wantMuch"}, plant: plantHoard},
		{name: "a label that no node has", told: "UnschedulableError", is: is[*api.UnschedulableError],
			plant: func(ctx context.Context, _ *stuckBed) (api.Ref[int], error) {
				return idle.Options(api.OnLabels(map[string]string{"zone": "nowhere"})).Remote(ctx, 0), nil
			}},
	}
}

// is says whether an error is one of type E.
func is[E error](err error) bool {
	var e E
	return errors.As(err, &e)
}

func plantWaits(ctx context.Context, bed *stuckBed) (api.Ref[int], error) {
	b := newBoards.Remote(ctx)
	on := func(i int) *api.RemoteFunc3[api.Actor[board], string, string, int] {
		return getPinnedBy.Options(api.OnNode(api.NodeID(bed.nodes[i].ID), false))
	}
	x, y := on(0).Remote(ctx, b, "y", "Wait"), on(1).Remote(ctx, b, "x", "Completed")
	// Who is ended is not known: what takes both has the error.
	return waitFirst.Remote(ctx, []api.Ref[int]{x, y}), errors.Join(pin(ctx, b, "x", x), pin(ctx, b, "y", y))
}

func plantTaskAndActor(ctx context.Context, bed *stuckBed) (api.Ref[int], error) {
	b := newBoards.Remote(ctx)
	a := newAskers.Options(api.OnNode(api.NodeID(bed.nodes[0].ID), false)).Remote(ctx)
	x := askPinned.Remote(ctx, a, b, "y")
	y := getPinned.Options(api.OnNode(api.NodeID(bed.nodes[1].ID), false)).Remote(ctx, b, "x")
	return x, errors.Join(pin(ctx, b, "x", x), pin(ctx, b, "y", y))
}

func plantQueue(ctx context.Context, bed *stuckBed) (api.Ref[int], error) {
	at := api.OnNode(api.NodeID(bed.nodes[0].ID), false)
	holdGPU.Options(at).Remote(ctx, stuckHang)
	a := newAskers.Options(at).Remote(ctx)
	askGPU.Remote(ctx, a)
	askTake.Remote(ctx, a, nil)
	return api.Ref[int]{}, nil
}

// plantFlood stops an actor's process and calls it until the ring to it is full.
func plantFlood(ctx context.Context, bed *stuckBed) (pid int, err error) {
	a := newAskers.Options(api.OwnProcess(), api.OnNode(api.NodeID(bed.nodes[0].ID), false)).Remote(ctx)
	if err := a.Ready(ctx); err != nil {
		return 0, err
	}
	if pid, err = askPID.Remote(ctx, a).Get(ctx); err != nil {
		return 0, err
	}
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		return pid, fmt.Errorf("chaos: stopping a process: %w", err)
	}
	var calls []api.Ref[int]
	for range floodCalls {
		calls = append(calls, askTake.Remote(ctx, a, make([]byte, floodBytes)))
	}
	waitFor.Remote(ctx, calls[floodCalls-1:])
	return pid, nil
}

// plantHoard has the store of this process's node filled by one task, and another one that wants as much.
func plantHoard(ctx context.Context, bed *stuckBed) (api.Ref[int], error) {
	b := newBoards.Remote(ctx)
	at := api.OnNode(api.NodeID(bed.nodes[0].ID), false)
	keepMost.Options(at).Remote(ctx, b)
	for {
		has, err := boardHas.Remote(ctx, b, "hoarded").Get(ctx)
		if err != nil || has {
			return wantMuch.Options(at).Remote(ctx), err
		}
		if err := rests(ctx, 0); err != nil {
			return api.Ref[int]{}, err
		}
	}
}
