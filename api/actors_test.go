package api_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/api"
)

type counter struct {
	value int
	seen  []int
}

func makeCounter(context.Context) (*counter, error) { return &counter{}, nil }
func makeCounterAt(_ context.Context, n int) (*counter, error) {
	switch {
	case n == -1:
		return nil, errOwn
	case n == -2:
		return nil, nil
	case n == -3:
		panic("boom")
	}
	return &counter{value: n}, nil
}
func (c *counter) Increment(context.Context) (int, error)    { c.value++; return c.value, nil }
func (c *counter) Add(_ context.Context, n int) (int, error) { c.value += n; return c.value, nil }
func (c *counter) Keep(_ context.Context, s []int) error     { c.seen = s; return nil }
func (c *counter) Seen(context.Context) ([]int, error)       { return c.seen, nil }
func (c *counter) Fail(ctx context.Context, how string) error {
	_, err := failWith(ctx, how)
	return err
}
func (c *counter) Who(ctx context.Context) (api.Info, error)    { return who(ctx) }
func (c *counter) Wait(ctx context.Context, n int) (int, error) { return waitAt(ctx, n) }

var (
	newCounter   = api.Class0(makeCounter)
	newCounterAt = api.Class1(makeCounterAt)
	increment    = api.Method0((*counter).Increment)
	add          = api.Method1((*counter).Add)
	keep         = api.MethodProc1((*counter).Keep)
	seen         = api.Method0((*counter).Seen)
	failMethod   = api.MethodProc1((*counter).Fail)
	whoMethod    = api.Method0((*counter).Who)
	waitMethod   = api.Method1((*counter).Wait)
)

func TestCounters(t *testing.T) {
	c := start(t)
	var actors []api.Actor[counter]
	var refs []api.Ref[int]
	for range 10 {
		actors = append(actors, newCounter.Remote(c))
	}
	for _, a := range actors {
		refs = append(refs, increment.Remote(c, a))
	}
	if got := fmt.Sprint(must(api.GetAll(c, refs))(t)); got != "[1 1 1 1 1 1 1 1 1 1]" {
		t.Error(got)
	}
	refs = nil
	for range 5 {
		refs = append(refs, increment.Remote(c, actors[0]))
	}
	if got := fmt.Sprint(must(api.GetAll(c, refs))(t)); got != "[2 3 4 5 6]" {
		t.Error(got)
	}
}

func TestCallsRunInOrder(t *testing.T) {
	c := start(t)
	a := newCounterAt.Remote(c, 0)
	var last api.Ref[int]
	for i := range 2000 {
		last = add.Remote(c, a, i)
	}
	if got := must(last.Get(c))(t); got != 1999*2000/2 {
		t.Error(got)
	}
	if got := must(add.With(c, a, squareFunc.Remote(c, 2)).Get(c))(t); got != 1999*2000/2+4 {
		t.Error(got)
	}
	if got := must(add.With(c, newCounterAt.With(c, squareFunc.Remote(c, 5)), api.Value(1)).Get(c))(t); got != 26 {
		t.Error(got)
	}
}

func TestActorsShareNoMemory(t *testing.T) {
	c := start(t)
	a := newCounter.Remote(c)
	s := []int{1, 2}
	must(keep.Remote(c, a, s).Get(c))(t)
	s[0] = 9
	got := must(seen.Remote(c, a).Get(c))(t)
	got[1] = 9
	if again := must(seen.Remote(c, a).Get(c))(t); again[0] != 1 || again[1] != 2 {
		t.Errorf("the state of an actor changed: %v", again)
	}
}

func TestReady(t *testing.T) {
	c := start(t)
	a := newCounter.Remote(c)
	if err := a.Ready(c); err != nil {
		t.Error(err)
	}
	if id := a.ID(); id == (api.ActorID{}) || a.String() != "ActorID("+fmt.Sprintf("%x", id[:])+")" {
		t.Error(a)
	}
	for n, want := range map[int]string{-1: "own error", -2: "neither an actor nor an error", -3: "boom"} {
		bad := newCounterAt.Remote(c, n)
		var te *api.TaskError
		if err := bad.Ready(c); !errors.As(err, &te) || !strings.Contains(err.Error(), want) {
			t.Errorf("Ready of %d: %v", n, err)
		}
		var dead *api.ActorDiedError
		if _, err := increment.Remote(c, bad).Get(c); !errors.As(err, &dead) || !strings.Contains(err.Error(), want) {
			t.Errorf("a call on %d: %v", n, err)
		}
	}
}

func TestMethodsFail(t *testing.T) {
	c := start(t)
	a := newCounter.Remote(c)
	for _, how := range []string{"own", "panic", "goexit"} {
		ref := failMethod.Remote(c, a, how)
		api.Wait(c, []api.Ref[api.None]{ref}) // Get may run it on this goroutine, which a Goexit would end
		_, err := ref.Get(c)
		var te *api.TaskError
		if !errors.As(err, &te) || !strings.HasSuffix(te.Func, "(*counter).Fail") {
			t.Errorf("%s: %v", how, err)
		}
	}
	if got := must(increment.Remote(c, a).Get(c))(t); got != 1 {
		t.Errorf("the actor did not go on: %d", got)
	}
}

func TestKill(t *testing.T) {
	c := start(t)
	testKill(t, c, newCounter)
}

func testKill(t *testing.T, c context.Context, class *api.RemoteClass0[counter]) {
	a := class.Remote(c)
	must(increment.Remote(c, a).Get(c))(t)
	if err := a.Kill(c); err != nil {
		t.Fatal(err)
	}
	var dead *api.ActorDiedError
	if _, err := increment.Remote(c, a).Get(c); !errors.As(err, &dead) || dead.MayRan {
		t.Error(err)
	}
	if err := a.Kill(c); err != nil {
		t.Errorf("a second Kill: %v", err)
	}
}

func TestKillEndsCallsUnderWay(t *testing.T) {
	c := start(t)
	g, open := gate()
	defer open()
	a := newCounter.Remote(c)
	running, queued := waitMethod.Remote(c, a, g), increment.Remote(c, a)
	if err := a.Kill(c); err != nil {
		t.Fatal(err)
	}
	var dead *api.ActorDiedError
	for _, ref := range []api.Ref[int]{running, queued} {
		if _, err := ref.Get(c); !errors.As(err, &dead) {
			t.Error(err)
		}
	}
}

// TestKillAtOnce kills actors as soon as they are there, with calls on them that were made before: none is left to itself.
func TestKillAtOnce(t *testing.T) {
	c := start(t)
	g, open := gate()
	defer open()
	var dead *api.ActorDiedError
	for range 200 {
		a := newCounter.Remote(c)
		call := waitMethod.Remote(c, a, g)
		if err := a.Kill(c); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Get(c); !errors.As(err, &dead) {
			t.Fatal(err)
		}
	}
}

func TestActorKnowsItself(t *testing.T) {
	c := start(t)
	a := newCounter.Remote(c)
	i := must(whoMethod.Remote(c, a).Get(c))(t)
	if i.Actor != a.ID() || (i.PID == os.Getpid()) == isolated {
		t.Errorf("%+v, not %v", i, a)
	}
}

func TestActorOfOwnProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts worker processes")
	}
	c := start(t)
	own := newCounter.Options(api.OwnProcess())
	a, b := own.Remote(c), own.Remote(c)
	i, j := must(whoMethod.Remote(c, a).Get(c))(t), must(whoMethod.Remote(c, b).Get(c))(t)
	if i.PID == os.Getpid() || i.PID == j.PID || i.Actor != a.ID() {
		t.Errorf("%+v and %+v", i, j)
	}
	for n := 1; n <= 100; n++ {
		if got := must(increment.Remote(c, a).Get(c))(t); got != n {
			t.Fatalf("%d, not %d", got, n)
		}
	}
	testKill(t, c, own)
}
