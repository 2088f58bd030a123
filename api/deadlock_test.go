package api_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// hub keeps references that tasks cannot be given: their own, and those of later ones.
type hub struct{ refs map[string]api.Ref[int] }

func newHub(context.Context) (*hub, error) { return &hub{map[string]api.Ref[int]{}}, nil }

func (h *hub) set(_ context.Context, name string, r api.Ref[int]) error { h.refs[name] = r; return nil }

func (h *hub) get(_ context.Context, name string) (api.Ref[int], error) { return h.refs[name], nil }

// friend is an actor that calls others, one after the other's.
type friend struct{}

func newFriend(context.Context) (*friend, error) { return &friend{}, nil }

func (f *friend) ask(ctx context.Context, others []api.Actor[friend]) (int, error) {
	if len(others) == 0 {
		return 1, nil
	}
	n, err := askFriend.Remote(ctx, others[0], others[1:]).Get(ctx)
	return n + 1, err
}

// waitForNamed gets the reference that the hub has under a name, once it is there.
func waitForNamed(ctx context.Context, h api.Actor[hub], name string) (int, error) {
	for {
		r, err := hubGet.Remote(ctx, h, name).Get(ctx)
		if err != nil {
			return 0, err
		}
		if !r.IsZero() {
			return r.Get(ctx)
		}
		time.Sleep(time.Millisecond)
	}
}

var (
	newHubs    = api.Class0(newHub)
	hubSet     = api.MethodProc2((*hub).set)
	hubGet     = api.Method1((*hub).get)
	newFriends = api.Class0(newFriend)
	askFriend  *api.RemoteMethod1[friend, []api.Actor[friend], int]
	namedTask  = api.Func2(waitForNamed)
	allNamed   = api.Func2(func(ctx context.Context, h api.Actor[hub], name string) (int, error) {
		r, err := hubGet.Remote(ctx, h, name).Get(ctx)
		for err == nil && r.IsZero() {
			r, err = hubGet.Remote(ctx, h, name).Get(ctx)
		}
		if err != nil {
			return 0, err
		}
		vs, err := api.GetAll(ctx, []api.Ref[int]{r, r})
		return len(vs), err
	}, api.RegisterAs("all named"))
	fastWait *api.RemoteFunc3[api.Actor[hub], string, int, int]
	overFast = api.Func3(func(ctx context.Context, h api.Actor[hub], name string, depth int) (int, error) {
		return fastWait.Remote(ctx, h, name, depth).Get(ctx)
	}, api.RegisterAs("over fast"))
	plusOne = api.Func1(func(_ context.Context, x int) (int, error) { return x + 1, nil }, api.RegisterAs("plus one"))
)

func init() {
	askFriend = api.Method1((*friend).ask)
	fastWait = api.Func3(func(ctx context.Context, h api.Actor[hub], name string, depth int) (int, error) {
		switch {
		case name == "":
			return 0, nil
		case depth > 0:
			return fastWait.Remote(ctx, h, name, depth-1).Get(ctx)
		}
		return waitForNamed(ctx, h, name)
	}, api.RegisterAs("fast wait"))
}

// TestDeadlock has tasks and actors wait for each other: one of them gets the chain, and so all end.
func TestDeadlock(t *testing.T) {
	ctx := start(t, api.NumCPUs(2))
	ends := func(t *testing.T, err error, names ...string) {
		t.Helper()
		if !errors.Is(err, api.ErrDeadlock) {
			t.Fatalf("it ended with %v", err)
		}
		for _, n := range names {
			if !strings.Contains(err.Error(), n) {
				t.Errorf("%q does not name %s", err, n)
			}
		}
	}
	t.Run("actors call each other", func(t *testing.T) {
		a, b := newFriends.Remote(ctx), newFriends.Remote(ctx)
		_, err := askFriend.Remote(ctx, a, []api.Actor[friend]{b, a}).Get(ctx)
		ends(t, err, "friend).ask", "waits for the actor")
	})
	t.Run("an actor calls itself", func(t *testing.T) {
		a := newFriends.Remote(ctx)
		_, err := askFriend.Remote(ctx, a, []api.Actor[friend]{a}).Get(ctx)
		ends(t, err, "friend).ask")
	})
	t.Run("a task waits for what takes its result", func(t *testing.T) {
		h := newHubs.Remote(ctx)
		r := namedTask.Remote(ctx, h, "later")
		if _, err := hubSet.Remote(ctx, h, "later", plusOne.With(ctx, r)).Get(ctx); err != nil {
			t.Fatal(err)
		}
		_, err := r.Get(ctx)
		ends(t, err, "waitForNamed", "plus one", "takes the result of")
	})
	t.Run("by way of a getter that runs a fast function", func(t *testing.T) {
		h := newHubs.Remote(ctx)
		for range 500 {
			must(fastWait.Remote(ctx, h, "", 0).Get(ctx))(t)
		}
		for depth := range 3 {
			name := fmt.Sprint("deep ", depth)
			r := overFast.Remote(ctx, h, name, depth)
			if _, err := hubSet.Remote(ctx, h, name, plusOne.With(ctx, r)).Get(ctx); err != nil {
				t.Fatal(err)
			}
			_, err := r.Get(ctx)
			ends(t, err, "over fast", "plus one")
		}
	})
	t.Run("two tasks", func(t *testing.T) {
		h := newHubs.Remote(ctx)
		a, b := namedTask.Remote(ctx, h, "b"), allNamed.Remote(ctx, h, "a")
		for name, r := range map[string]api.Ref[int]{"a": a, "b": b} {
			if _, err := hubSet.Remote(ctx, h, name, r).Get(ctx); err != nil {
				t.Fatal(err)
			}
		}
		_, err := api.GetAll(ctx, []api.Ref[int]{a, b})
		ends(t, err, "waitForNamed", "all named")
	})
}

// TestHelperIsNoDeadlock has a goroutine of a task wait for one that takes the task's result: the task goes on.
func TestHelperIsNoDeadlock(t *testing.T) {
	ctx := start(t, api.NumCPUs(2))
	h := newHubs.Remote(ctx)
	r := helped.Remote(ctx, h)
	if _, err := hubSet.Remote(ctx, h, "me", plusOne.With(ctx, r)).Get(ctx); err != nil {
		t.Fatal(err)
	}
	if v, err := r.Get(ctx); err != nil || v != 7 {
		t.Errorf("%d, %v", v, err)
	}
	if isolated {
		return // its helper is not in this process
	}
	if err := <-helperEnd; err != nil && !errors.Is(err, api.ErrCancelled) && !errors.Is(err, context.Canceled) {
		t.Errorf("its helper ended with %v", err)
	}
}

var (
	helperEnd = make(chan error, 1)
	helped    = api.Func1(func(ctx context.Context, h api.Actor[hub]) (int, error) {
		go func() {
			_, err := waitForNamed(ctx, h, "me")
			helperEnd <- err
		}()
		select {
		case <-time.After(2 * time.Second): // longer than a look takes
		case <-ctx.Done():
		}
		return 7, ctx.Err()
	}, api.RegisterAs("helped"))
)
