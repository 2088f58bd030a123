package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

func squareOf(_ context.Context, x int) (int, error) { return x * x, nil }
func sub(_ context.Context, a, b int) (int, error)   { return a - b, nil }
func sumAll(_ context.Context, s []int) (n int, err error) {
	for _, x := range s {
		n += x
	}
	return n, nil
}
func join(_ context.Context, a string, b int, c float64, d bool) (string, error) {
	return fmt.Sprint(a, b, c, d), nil
}

var (
	squareFunc = api.Func1(squareOf)
	subFunc    = api.Func2(sub)
	sumFunc    = api.Func1(sumAll)
	joinFunc   = api.Func4(join)
	waitFunc   = api.Func1(waitAt)
	failFunc   = api.Func1(failWith)
	whoFunc    = api.Func0(who)
	fibFunc    *api.RemoteFunc1[int, int]
)

func init() { fibFunc = api.Func1(fib) }

func fib(ctx context.Context, n int) (int, error) {
	if n < 2 {
		return n, nil
	}
	a, b := fibFunc.Remote(ctx, n-1), fibFunc.Remote(ctx, n-2)
	x, err := a.Get(ctx)
	if err != nil {
		return 0, err
	}
	y, err := b.Get(ctx)
	return x + y, err
}

// gates let tests say when a task ends.
var gates struct {
	sync.Mutex
	all []chan struct{}
}

// gate gives the number of a gate and what opens it: also in worker processes where all tasks run there.
func gate() (n int, open func()) {
	gates.Lock()
	defer gates.Unlock()
	ch := make(chan struct{})
	n = len(gates.all)
	gates.all = append(gates.all, ch)
	return n, sync.OnceFunc(func() {
		close(ch)
		if isolated {
			os.WriteFile(gateFile(n), nil, 0o600)
		}
	})
}

// gateFile is there when a gate is open, where all tasks run in worker processes.
func gateFile(n int) string { return filepath.Join(os.Getenv(gatesName), strconv.Itoa(n)) }

func waitAt(ctx context.Context, n int) (int, error) {
	if isolated {
		_, err := waitsForFile(ctx, gateFile(n))
		return n, err
	}
	gates.Lock()
	ch := gates.all[n]
	gates.Unlock()
	select {
	case <-ch:
		return n, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

var errOwn = errors.New("own error")

func failWith(ctx context.Context, how string) (int, error) {
	switch how {
	case "own":
		return 0, fmt.Errorf("wrapped: %w", errOwn)
	case "EOF":
		return 0, fmt.Errorf("at the end: %w", io.EOF)
	case "panic":
		panic("boom")
	case "panic error":
		panic(errOwn)
	case "index":
		var s []int
		return s[len(how)], nil
	case "goexit":
		runtime.Goexit()
	}
	return 0, nil
}

func who(ctx context.Context) (api.Info, error) {
	i, ok := api.FromContext(ctx)
	if !ok {
		return i, errors.New("a task has no Info")
	}
	api.Log(ctx).Debug("here")
	return i, nil
}

func TestTasks(t *testing.T) {
	c := start(t)
	if v, err := squareFunc.Remote(c, 7).Get(c); v != 49 || err != nil {
		t.Error(v, err)
	}
	if v, err := joinFunc.Remote(c, "a", 1, 2.5, true).Get(c); v != "a1 2.5 true" || err != nil {
		t.Error(v, err)
	}
	if v, err := subFunc.With(c, squareFunc.Remote(c, 3), api.Value(3)).Get(c); v != 6 || err != nil {
		t.Error(v, err)
	}
	refs := make([]api.Ref[int], 100)
	for i := range refs {
		refs[i] = squareFunc.Remote(c, i)
	}
	if v, err := sumFunc.With(c, api.All(refs)).Get(c); v != 328350 || err != nil {
		t.Error(v, err)
	}
	if v, err := sumFunc.With(c, api.All([]api.Ref[int]{})).Get(c); v != 0 || err != nil {
		t.Error(v, err)
	}
	if v, err := fibFunc.Remote(c, 15).Get(c); v != 610 || err != nil {
		t.Error(v, err)
	}
	if v, err := squareFunc.Options(api.NumCPUs(2), api.MaxRetries(0)).Remote(c, 2).Get(c); v != 4 || err != nil {
		t.Error(v, err)
	}
	if v, err := squareFunc.Options(api.NumCPUs(0)).Remote(c, 2).Get(c); v != 4 || err != nil {
		t.Error(v, err)
	}
}

func TestRefsAreValues(t *testing.T) {
	c := start(t)
	a, b := squareFunc.Remote(c, 1), squareFunc.Remote(c, 1)
	if same := a; a == b || a != same || a.ID() == b.ID() {
		t.Error("refs compare wrongly")
	}
	if id := a.ID(); a.String() != "ObjectID("+fmt.Sprintf("%x", id[:])+")" || a.ID() != id {
		t.Error(a)
	}
	if _, err := json.Marshal(map[string]any{"ref": a}); err == nil || !strings.Contains(err.Error(), "JSON") {
		t.Error(err)
	}
	if _, err := json.Marshal(newCounter.Remote(c)); err == nil || !strings.Contains(err.Error(), "JSON") {
		t.Error(err)
	}
}

func TestTasksFail(t *testing.T) {
	c := start(t)
	testFailures(t, c, !isolated)
}

func TestTasksFailInOtherProcesses(t *testing.T) {
	testFailures(t, startIsolated(t), false)
}

func testFailures(t *testing.T, c context.Context, same bool) {
	fail := func(how string) (*api.TaskError, error) {
		t.Helper()
		ref := failFunc.Remote(c, how)
		if how == "goexit" { // where Get runs the task itself, the first Goexit of a function is Get's own
			api.Wait(c, []api.Ref[int]{ref})
		}
		_, err := ref.Get(c)
		var te *api.TaskError
		if !errors.As(err, &te) || !strings.HasSuffix(te.Func, "api_test.failWith") {
			t.Fatalf("%s: %v", how, err)
		}
		return te, err
	}
	if te, err := fail("own"); te.Cause.Error() != "wrapped: own error" || errors.Is(err, errOwn) != same || te.Stack != "" {
		t.Error(err)
	}
	if _, err := fail("EOF"); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	if te, err := fail("panic"); te.Cause.Error() != "panic: boom" || !strings.Contains(te.Stack, "failWith") {
		t.Error(err, te.Stack)
	}
	if te, err := fail("panic error"); te.Cause.Error() != "own error" || !strings.Contains(te.Stack, "failWith") {
		t.Error(err)
	}
	if te, err := fail("index"); !strings.Contains(te.Cause.Error(), "index out of range") || te.Stack == "" {
		t.Error(err)
	}
	if _, err := fail("goexit"); !strings.Contains(err.Error(), "Goexit") {
		t.Error(err)
	}
	_, err := subFunc.With(c, failFunc.Remote(c, "EOF"), api.Value(1)).Get(c)
	var te *api.TaskError
	if !errors.As(err, &te) || !errors.Is(err, io.EOF) {
		t.Errorf("what depends on a failed task: %v", err)
	}
	_, err = subFunc.With(c, failFunc.Remote(c, "panic"), api.Value(1)).Get(c)
	if !errors.As(err, &te) || te.Stack == "" || !strings.Contains(err.Error(), "boom") {
		t.Errorf("what depends on a task that panicked: %v", err)
	}
	_, err = sumFunc.With(c, api.All([]api.Ref[int]{squareFunc.Remote(c, 1), failFunc.Remote(c, "EOF")})).Get(c)
	if !errors.Is(err, io.EOF) {
		t.Errorf("what depends on a failed task: %v", err)
	}
}

func TestContextsBoundTasks(t *testing.T) {
	c := start(t)
	g, open := gate()
	defer open()
	one, cancel := context.WithCancel(c)
	ref := waitFunc.Remote(one, g)
	brief, end := context.WithTimeout(c, time.Millisecond)
	defer end()
	if _, err := ref.Get(brief); err != context.DeadlineExceeded {
		t.Errorf("Get's own context: %v", err)
	}
	cancel()
	if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) && !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled task: %v", err)
	}
	if _, err := squareFunc.Remote(one, 1).Get(c); !errors.Is(err, api.ErrCancelled) || !errors.Is(err, context.Canceled) {
		t.Errorf("a task under an ended context: %v", err)
	}
}

type secret struct{}

func seeValue(ctx context.Context) (bool, error) { return ctx.Value(secret{}) != nil, nil }

var seeFunc = api.Func0(seeValue)

func TestContextValuesStay(t *testing.T) {
	c := start(t)
	if saw, err := seeFunc.Remote(context.WithValue(c, secret{}, 1)).Get(c); saw || err != nil {
		t.Error(saw, err)
	}
}

func TestZeroRefs(t *testing.T) {
	c := start(t)
	var ref api.Ref[int]
	var on api.Actor[counter]
	errs := map[string]error{"Ready": on.Ready(c), "Kill": on.Kill(c), "Free": api.Free(c, ref)}
	_, errs["Get"] = ref.Get(c)
	_, errs["GetAll"] = api.GetAll(c, []api.Ref[int]{squareFunc.Remote(c, 1), ref})
	_, errs["With"] = squareFunc.With(c, ref).Get(c)
	_, errs["With nil"] = squareFunc.With(c, nil).Get(c)
	_, errs["All"] = sumFunc.With(c, api.All([]api.Ref[int]{ref})).Get(c)
	_, _, errs["Wait"] = api.Wait(c, []api.Ref[int]{ref})
	_, errs["Method"] = increment.Remote(c, on).Get(c)
	for what, err := range errs {
		if !errors.Is(err, api.ErrZero) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if !ref.IsZero() || !on.IsZero() || ref.ID() != (api.ObjectID{}) || on.ID() != (api.ActorID{}) {
		t.Error("the zero Ref or Actor is something")
	}
}

func TestWithoutRuntime(t *testing.T) {
	c := t.Context()
	_, err := squareFunc.Remote(c, 1).Get(c)
	_, putErr := api.Put(c, 1)
	_, nodesErr := api.Nodes(c)
	for _, err := range []error{err, putErr, nodesErr, newCounter.Remote(c).Ready(c)} {
		if !errors.Is(err, api.ErrNoRuntime) {
			t.Error(err)
		}
	}
}

func TestAfterClose(t *testing.T) {
	rt, err := api.Init(t.Context(), api.Embedded())
	if err != nil {
		t.Fatal(err)
	}
	c := rt.Context()
	done := squareFunc.Remote(c, 2)
	must(done.Get(c))(t)
	for range 2 {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	}
	select {
	case <-rt.Done():
	case <-time.After(within):
		t.Error("Done is open after Close")
	}
	if _, err := squareFunc.Remote(c, 1).Get(t.Context()); !errors.Is(err, api.ErrClosed) {
		t.Error(err)
	}
	if _, err := api.Put(c, 1); !errors.Is(err, api.ErrClosed) {
		t.Error(err)
	}
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	c := start(t)
	for want, o := range map[string]api.TaskOption{
		"NumCPUs(-1)":     api.NumCPUs(-1),
		"NumCPUs(NaN)":    api.NumCPUs(math.NaN()),
		"MaxRetries(-1)":  api.MaxRetries(-1),
		"a name is empty": api.Resources(map[string]float64{"": 1}),
		"gpu: NaN":        api.Resources(map[string]float64{"gpu": math.NaN()}),
		"use NumCPUs":     api.Resources(map[string]float64{"CPU": 1}),
		"OnNode":          api.OnNode("", false),
		"RegisterAs":      api.RegisterAs("x"),
	} {
		if _, err := squareFunc.Options(o).Remote(c, 1).Get(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
	for want, o := range map[string]api.InitOption{
		"NumCPUs(-1)":          api.NumCPUs(-1),
		"NumCPUs(0)":           api.NumCPUs(0),
		"ObjectStoreMemory(0)": api.ObjectStoreMemory(0),
		"gpu: -1":              api.Resources(map[string]float64{"gpu": -1}),
		"Cluster":              api.Cluster(""),
		"TokenFile":            api.TokenFile(""),
		"Join":                 api.Join(""),
		"WorkerEnv":            api.WorkerEnv(""),
		"Labels":               api.Labels(map[string]string{"": ""}),
	} {
		if rt, err := api.Init(c, api.Embedded(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
			if rt != nil {
				rt.Close()
			}
		}
	}
}

func TestOwnProcess(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	c := start(t)
	here := must(whoFunc.Remote(c).Get(c))(t)
	there := must(whoFunc.Options(api.OwnProcess()).Remote(c).Get(c))(t)
	if (here.PID == os.Getpid()) == isolated || there.PID == here.PID || there.Node != here.Node || there.Job != here.Job || there.Task == here.Task {
		t.Errorf("here %+v, there %+v", here, there)
	}
	if _, ok := api.FromContext(c); ok {
		t.Error("the driver is no task")
	}
}

func TestNodes(t *testing.T) {
	c := start(t, api.Labels(map[string]string{"zone": "a"}), api.Resources(map[string]float64{"gpu": 2}))
	nodes := must(api.Nodes(c))(t)
	if len(nodes) != 1 || nodes[0].ID == "" || nodes[0].PID != os.Getpid() || nodes[0].Labels["zone"] != "a" || nodes[0].Resources["gpu"] != 2 {
		t.Fatalf("%+v", nodes)
	}
	if all := must(api.ClusterResources(c))(t); all["gpu"] != 2 || all["CPU"] != 4 {
		t.Error(all)
	}
	if free := must(api.AvailableResources(c))(t); free["gpu"] != 2 {
		t.Error(free)
	}
	here := must(whoFunc.Options(api.OnNode(nodes[0].ID, false), api.Resources(map[string]float64{"gpu": 1})).Remote(c).Get(c))(t)
	if here.Node != nodes[0].ID {
		t.Errorf("%+v", here)
	}
	var un *api.UnschedulableError
	if _, err := whoFunc.Options(api.Resources(map[string]float64{"gpu": 3})).Remote(c).Get(c); !errors.As(err, &un) || !strings.Contains(err.Error(), "gpu") {
		t.Error(err)
	}
	if _, err := whoFunc.Options(api.OnNode("nowhere", false)).Remote(c).Get(c); !errors.As(err, &un) {
		t.Error(err)
	}
}
