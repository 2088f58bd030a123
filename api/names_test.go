package api_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// ledger is another class than counter.
type ledger struct{}

func makeLedger(context.Context) (*ledger, error) { return &ledger{}, nil }

// Exit leaves, and says how often it was called before.
func (c *counter) Exit(ctx context.Context) (int, error) { return c.value, api.ExitActor(ctx) }

// Me is the actor by way of Self.
func (c *counter) Me(ctx context.Context) (api.Actor[counter], error) {
	if _, ok := api.Self[ledger](ctx); ok {
		return api.Actor[counter]{}, errors.New("a counter is a ledger")
	}
	me, ok := api.Self[counter](ctx)
	if !ok {
		return me, errors.New("it is nobody")
	}
	return me, nil
}

// incrementNamed finds a counter by its name in a task.
func incrementNamed(ctx context.Context, name string) (int, error) {
	a, err := api.GetActor[counter](ctx, name)
	if err != nil {
		return 0, err
	}
	return increment.Remote(ctx, a).Get(ctx)
}

var (
	newLedger       = api.Class0(makeLedger)
	exit            = api.Method0((*counter).Exit)
	meMethod        = api.Method0((*counter).Me)
	incrementByName = api.Func1(incrementNamed)
)

// wherever runs a test with actors in this process, in the job's worker and in processes of their own.
func wherever(t *testing.T, f func(t *testing.T, c context.Context, opts ...api.ClassOption)) {
	t.Run("driver", func(t *testing.T) { f(t, start(t)) })
	t.Run("worker", func(t *testing.T) { f(t, startIsolated(t)) })
	t.Run("own", func(t *testing.T) {
		if testing.Short() {
			t.Skip("starts worker processes")
		}
		f(t, start(t), api.OwnProcess())
	})
}

func TestNames(t *testing.T) {
	wherever(t, func(t *testing.T, c context.Context, opts ...api.ClassOption) {
		named := newCounter.Options(append(opts, api.Name("hits"))...)
		if _, err := api.GetActor[counter](c, "hits"); !errors.Is(err, api.ErrNotFound) || !strings.Contains(err.Error(), `"hits"`) {
			t.Errorf("a name that nobody has: %v", err)
		}
		a := named.Remote(c)
		must(increment.Remote(c, a).Get(c))(t)
		b := must(api.GetActor[counter](c, "hits"))(t)
		if a != b || a.ID() != b.ID() {
			t.Errorf("%v is found as %v", a, b)
		}
		if n := must(incrementByName.Remote(c, "hits").Get(c))(t); n != 2 {
			t.Errorf("a task that asks for it counts %d", n)
		}

		taken := named.Remote(c)
		var is *api.NameTakenError
		if err := taken.Ready(c); !errors.As(err, &is) || is.Name != "hits" || is.Namespace != "default" || api.ActorID(is.Actor) != a.ID() || !strings.Contains(err.Error(), "GetIfExists") {
			t.Errorf("a second one of the name: %v", err)
		}
		var dead *api.ActorDiedError
		if _, err := increment.Remote(c, taken).Get(c); !errors.As(err, &dead) || !strings.Contains(err.Error(), "is taken by") {
			t.Errorf("a call on a second one of the name: %v", err)
		}
		if again := named.Options(api.GetIfExists()).Remote(c); again != a {
			t.Errorf("GetIfExists gives %v, not %v", again, a)
		}
		other := named.Options(api.Namespace("other"), api.GetIfExists()).Remote(c)
		if n := must(increment.Remote(c, other).Get(c))(t); n != 1 || other == a {
			t.Errorf("in another namespace: %d", n)
		}
		if o := must(api.GetActor[counter](c, "hits", api.Namespace("other")))(t); o.ID() != other.ID() {
			t.Error("the namespaces are mixed up")
		}
		if _, err := api.GetActor[ledger](c, "hits"); err == nil || !strings.Contains(err.Error(), "api_test.counter (made by") {
			t.Errorf("as another class: %v", err)
		}
		if err := newLedger.Options(append(opts, api.Name("hits"), api.GetIfExists())...).Remote(c).Ready(c); err == nil || !strings.Contains(err.Error(), "api_test.counter (made by") {
			t.Errorf("GetIfExists of another class: %v", err)
		}
	})
}

func TestNameIsFreeAgain(t *testing.T) {
	wherever(t, func(t *testing.T, c context.Context, opts ...api.ClassOption) {
		named := newCounterAt.Options(append(opts, api.Name("seat"))...)
		for i := range 4 { // each takes it at once after the one before
			if err := named.Remote(c, -1-i%3).Ready(c); err == nil || strings.Contains(err.Error(), "taken") {
				t.Errorf("after what could not be made: %v", err)
			}
			a := named.Remote(c, i)
			if err := a.Ready(c); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 {
				if err := must(api.GetActor[counter](c, "seat"))(t).Kill(c); err != nil {
					t.Error(err)
				}
			} else if n := must(exit.Remote(c, a).Get(c))(t); n != i {
				t.Errorf("the last call gave %d", n)
			}
			if _, err := api.GetActor[counter](c, "seat"); !errors.Is(err, api.ErrNotFound) {
				t.Errorf("a dead actor is found: %v", err)
			}
			var dead *api.ActorDiedError
			if _, err := increment.Remote(c, a).Get(c); !errors.As(err, &dead) {
				t.Errorf("a call on a dead actor: %v", err)
			}
		}
	})
}

func TestNameIsFreeAfterItsProcessDied(t *testing.T) {
	if testing.Short() {
		t.Skip("starts worker processes")
	}
	c := start(t)
	named := newCounter.Options(api.Name("seat"), api.OwnProcess())
	for range 3 {
		a := named.Remote(c)
		info := must(whoMethod.Remote(c, a).Get(c))(t)
		if info.PID == os.Getpid() || info.Actor != a.ID() {
			t.Fatalf("%+v", info)
		}
		if err := syscall.Kill(info.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		if _, err := increment.Remote(c, a).Get(c); err == nil { // the news of its death comes after its names are free
			t.Fatal("it answers")
		}
	}
}

func TestNamesOfOtherJobs(t *testing.T) {
	c := start(t)
	p, err := api.Init(c, api.Embedded()) // another node, private too: its names are its own
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	a := newCounter.Options(api.Name("mine")).Remote(c)
	if err := a.Ready(c); err != nil {
		t.Fatal(err)
	}
	if _, err := api.GetActor[counter](p.Context(), "mine"); !errors.Is(err, api.ErrNotFound) {
		t.Errorf("another node's: %v", err)
	}
}

func TestManyAskForOneName(t *testing.T) {
	c := start(t)
	named := newCounter.Options(api.Name("one"))
	const n = 50
	made := make([]api.Actor[counter], n)
	for i := range made {
		made[i] = named.Options(api.GetIfExists()).Remote(c)
	}
	var refs []api.Ref[int]
	for _, a := range made {
		refs = append(refs, increment.Remote(c, a))
	}
	got := must(api.GetAll(c, refs))(t)
	slices.Sort(got)
	if got[0] != 1 || got[n-1] != n {
		t.Errorf("they are not one: %v", got)
	}
	ids := map[api.ActorID]bool{}
	for _, a := range made {
		ids[a.ID()] = true
	}
	if len(ids) != 1 {
		t.Errorf("one actor has %d IDs", len(ids))
	}
	living := 0
	var two []api.Actor[counter]
	for range n {
		two = append(two, newCounter.Options(api.Name("two")).Remote(c))
	}
	for _, a := range two {
		var taken *api.NameTakenError
		switch err := a.Ready(c); {
		case err == nil:
			living++
		case !errors.As(err, &taken):
			t.Fatal(err)
		}
	}
	if living != 1 {
		t.Errorf("%d actors have one name", living)
	}
}

func TestSelf(t *testing.T) {
	wherever(t, func(t *testing.T, c context.Context, opts ...api.ClassOption) {
		a := newCounter.Options(opts...).Remote(c)
		me := must(meMethod.Remote(c, a).Get(c))(t)
		if me != a {
			t.Errorf("%v is %v to itself", a, me)
		}
		if n := must(increment.Remote(c, me).Get(c))(t); n != 1 {
			t.Error(n)
		}
		if _, ok := api.Self[counter](c); ok {
			t.Error("the driver is an actor")
		}
		if err := api.ExitActor(c); err == nil || !strings.Contains(err.Error(), "ExitActor") {
			t.Errorf("the driver leaves: %v", err)
		}
	})
}

// TestHandleOutlivesItsFirst finds an actor of which the process that made it has no handle any more.
func TestHandleOutlivesItsFirst(t *testing.T) {
	wherever(t, func(t *testing.T, c context.Context, opts ...api.ClassOption) {
		if err := newCounter.Options(append(opts, api.Name("left"))...).Remote(c).Ready(c); err != nil {
			t.Fatal(err)
		}
		for want := 1; want <= 8; want += 2 {
			runtime.GC()
			runtime.GC()
			a := must(api.GetActor[counter](c, "left"))(t)
			if n := must(increment.Remote(c, a).Get(c))(t); n != want {
				t.Errorf("%d, not %d", n, want)
			}
			if n := must(incrementByName.Remote(c, "left").Get(c))(t); n != want+1 {
				t.Errorf("by a task: %d", n)
			}
			if me := must(meMethod.Remote(c, a).Get(c))(t); me != a {
				t.Errorf("%v is %v to itself", a, me)
			}
		}
	})
}

func TestListActors(t *testing.T) {
	wherever(t, func(t *testing.T, c context.Context, opts ...api.ClassOption) {
		a := newCounter.Options(append(opts, api.Name("seen"), api.Namespace("there"))...).Remote(c)
		b := newCounter.Options(opts...).Remote(c)
		must(increment.Remote(c, a).Get(c))(t)
		info := must(whoMethod.Remote(c, b).Get(c))(t)
		list := must(api.ListActors(c))(t)
		at := map[api.ActorID]api.ActorInfo{}
		for _, i := range list {
			at[i.ID] = i
		}
		i, j := at[a.ID()], at[b.ID()]
		if len(at) != 2 || i.Name != "seen" || i.Namespace != "there" || j.Name != "" || !strings.HasSuffix(i.Class, "makeCounter") || i.State != "idle" {
			t.Errorf("%+v", list)
		}
		if j.Node != info.Node || j.PID != info.PID {
			t.Errorf("%+v, and itself says %+v", j, info)
		}
	})
}

func TestBadNames(t *testing.T) {
	c := start(t)
	for _, name := range []string{"", strings.Repeat("x", 257), "\xff"} {
		if err := newCounter.Options(api.Name(name)).Remote(c).Ready(c); err == nil || !strings.Contains(err.Error(), "Name: ") {
			t.Errorf("Name(%.8q): %v", name, err)
		}
		if _, err := api.GetActor[counter](c, name); err == nil || !strings.Contains(err.Error(), "name: ") {
			t.Errorf("GetActor(%.8q): %v", name, err)
		}
	}
	if err := newCounter.Options(api.Namespace("\xff")).Remote(c).Ready(c); err == nil || !strings.Contains(err.Error(), "Namespace: ") {
		t.Error(err)
	}
	long := strings.Repeat("é", 128)
	if err := newCounter.Options(api.Name(long), api.Namespace(long)).Remote(c).Ready(c); err != nil {
		t.Error(err)
	}
	if got := fmt.Sprint(must(api.GetActor[counter](c, long, api.Namespace(long)))(t)); !strings.HasPrefix(got, "ActorID(") {
		t.Error(got)
	}
}
