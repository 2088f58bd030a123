package api_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// The rules that hold wherever a task runs, each a test named after it, in three places: in the driver's process, in a
// worker process of its node, on another node.

// place is where a rule's tasks run.
type place struct {
	task  []api.TaskOption
	class []api.ClassOption
	node  api.NodeID // where it is another one
}

// rule is the test of one. Its tasks tell of themselves by files in a folder.
type rule struct {
	name string
	test func(t *testing.T, c context.Context, at place, dir string)
}

// lathe is a resource of which each node has one.
const lathe = "lathe"

var rules = []rule{
	{"the end of its context ends a running task", ruleRunning},
	{"the end of its context drops a queued task", ruleQueued},
	{"a deadline is inherited as time remaining", ruleDeadline},
	{"the values of a context never travel", ruleValues},
	{"WithoutCancel detaches", ruleDetached},
	{"a task's return ends its context and not what it started", ruleReturn},
	{"a creating context bounds only the construction of an actor", ruleCreation},
	{"Get's context bounds only the waiting", ruleGet},
	{"Cancel ends the task and not what it started", ruleCancel},
	{"Cancel with Recursive ends what it started, too", ruleRecursive},
	{"also what was started elsewhere by tasks that have returned", ruleRecursiveLater},
	{"what a task started ends with the context that bounds it", ruleBounded},
	{"also when the task has returned", ruleBoundedLater},
	{"blocked tasks give their CPU back", ruleNesting},
	{"also where each takes the whole node", ruleNestingWide},
	{"a panic is a TaskError with its stack", rulePanic},
	{"Goexit fails the task", ruleGoexit},
	{"the end of its process is a WorkerDiedError, and retried", ruleExit},
	{"an error keeps its text and its sentinels", ruleErrors},
	{"FromContext tells of the task", ruleInfo},
}

var ruleOptions = []api.InitOption{api.Resources(map[string]float64{lathe: 1}), api.Labels(map[string]string{"rule": "yes"}), api.WorkerEnv("RULE_KEPT"), api.LogToDriver(false)}

func TestRules(t *testing.T) {
	all := func(t *testing.T, dir string, c context.Context, at place) {
		for i, r := range slices.Concat(rules, placeRules, failRules) {
			t.Run(r.name, func(t *testing.T) {
				c, cancel := context.WithTimeout(context.WithoutCancel(c), 2*within)
				defer cancel()
				dir := filepath.Join(dir, fmt.Sprint(i))
				must(0, os.Mkdir(dir, 0o700))(t)
				r.test(t, c, at, dir)
			})
		}
	}
	// The folders are made first, so that they go last: what a rule leaves behind may write until its runtime has closed.
	t.Setenv("RULE_KEPT", "yes")
	t.Setenv("RULE_LEFT", "yes")
	t.Run("in process", func(t *testing.T) { dir := t.TempDir(); all(t, dir, start(t, ruleOptions...), place{}) })
	t.Run("in a worker", func(t *testing.T) { dir := t.TempDir(); all(t, dir, startIsolated(t, ruleOptions...), place{}) })
	t.Run("on another node", func(t *testing.T) {
		dir := t.TempDir()
		c, other := startTwo(t, ruleOptions...)
		all(t, dir, c, place{[]api.TaskOption{api.OnNode(other, false)}, []api.ClassOption{api.OnNode(other, false)}, other})
	})
}

// startTwo starts two nodes in this process and gives a context of the first and the name of the second.
func startTwo(t *testing.T, opts ...api.InitOption) (context.Context, api.NodeID) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts worker processes")
	}
	dir, err := os.MkdirTemp("", "k") // sockets' paths are short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("XDG_STATE_HOME", dir)
	t.Setenv("KADRE_ISOLATE", "0") // another node's tasks are in worker processes anyway, and may steal those of who asks where it is
	opts = append(slices.Clip(opts), api.Cluster("rules"))
	c := start(t, opts...)
	d := start(t, opts...)
	first := must(whoFunc.Remote(c).Get(c))(t).Node
	if second := must(whoFunc.Remote(d).Get(d))(t).Node; second == first {
		t.Fatal("both runtimes are of one node")
	}
	for {
		for _, n := range must(api.Nodes(c))(t) {
			if n.ID != first {
				return c, n.ID
			}
		}
		if c.Err() != nil {
			t.Fatal("the nodes do not meet")
		}
		time.Sleep(time.Millisecond)
	}
}

// note leaves a file.
func note(dir, name string) { os.WriteFile(filepath.Join(dir, name), nil, 0o600) }

// noted waits for a file.
func noted(ctx context.Context, dir, name string) error {
	for {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("no file %s: %w", name, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}

// held runs until its context ends.
func held(ctx context.Context, dir, name string) (int, error) {
	note(dir, name+" began")
	<-ctx.Done()
	note(dir, name+" ended")
	return 0, ctx.Err()
}

// released runs until there is a file "go".
func released(ctx context.Context, dir string) (int, error) {
	note(dir, "began")
	if err := noted(ctx, dir, "go"); err != nil {
		return 0, err
	}
	return 7, nil
}

// parent starts a task and returns its reference; a goroutine stays behind until its context ends.
func parent(ctx context.Context, dir string, detached bool) (api.Ref[int], error) {
	go func() {
		<-ctx.Done()
		note(dir, "context ended")
	}()
	child := ctx
	if detached {
		child = context.WithoutCancel(ctx)
	}
	return rulesReleased.Remote(child, dir), nil
}

// tree starts tasks down to some depth, one elsewhere than its own process where there is another, and stays until its
// context ends.
func tree(ctx context.Context, dir, name string, depth int, at api.NodeID) (int, error) {
	if depth > 0 {
		below := rulesTree.Options(api.NumCPUs(0)) // all of them run at the same time
		if depth == 1 && at != "" {
			below = below.Options(api.OnNode(at, false))
		}
		below.Remote(ctx, dir, name+"a", depth-1, at)
		below.Remote(ctx, dir, name+"b", depth-1, at)
		rulesHeld.Options(api.NumCPUs(0)).Remote(context.WithoutCancel(ctx), dir, name+" apart")
	}
	return held(ctx, dir, name)
}

// leaver starts tasks, one elsewhere where there is another node, and returns; depth generations of them.
func leaver(ctx context.Context, dir, name string, depth int, at api.NodeID) (int, error) {
	free := api.NumCPUs(0)
	if depth > 0 {
		rulesLeaver.Options(free).Remote(ctx, dir, name+"a", depth-1, at)
	}
	here := rulesHeld.Options(free)
	there := here
	if at != "" {
		there = here.Options(api.OnNode(at, false))
	}
	here.Remote(ctx, dir, name+" here")
	there.Remote(ctx, dir, name+" there")
	return 0, nil
}

// founder has a leaver start tasks from another process than its own, and stays when that one has returned.
func founder(ctx context.Context, dir, name string, at api.NodeID) (int, error) {
	where := api.TaskOption(api.OwnProcess())
	if at != "" {
		where = api.OnNode(at, false)
	}
	if _, err := rulesLeaver.Options(api.NumCPUs(0), where).Remote(ctx, dir, name+"l", 1, at).Get(ctx); err != nil {
		return 0, err
	}
	rulesLeaver.Options(api.NumCPUs(0), where).Remote(context.WithoutCancel(ctx), dir, name+"x", 0, at)
	return held(ctx, dir, name)
}

// leaves are the names of the tasks of a tree.
var leaves = []string{"t", "ta", "tb", "taa", "tab", "tba", "tbb"}

// Context is what a task sees of its context, and a task that it starts of its own.
type Context struct {
	Left  time.Duration // until its deadline; 0: none
	Value bool
	Err   string
	Child *Context
}

type ruleKey struct{}

func contextOf(ctx context.Context, depth int) (Context, error) {
	var c Context
	if d, ok := ctx.Deadline(); ok {
		c.Left = time.Until(d)
	}
	c.Value = ctx.Value(ruleKey{}) != nil
	if depth == 0 {
		return c, nil
	}
	child, err := rulesContext.Remote(ctx, depth-1).Get(ctx)
	c.Child = &child
	return c, err
}

func nest(ctx context.Context, n int) (int, error) {
	if n == 0 {
		return 0, nil
	}
	v, err := rulesNest.Remote(ctx, n-1).Get(ctx)
	return v + 1, err
}

// nestWide nests tasks that take the whole node each.
func nestWide(ctx context.Context, n int, at api.NodeID) (int, error) {
	if n == 0 {
		return 0, nil
	}
	whole := []api.TaskOption{api.NumCPUs(4)}
	if at != "" {
		whole = append(whole, api.OnNode(at, false))
	}
	v, err := rulesNestWide.Options(whole...).Remote(ctx, n-1, at).Get(ctx)
	return v + 1, err
}

// fails ends as it is told.
func fails(ctx context.Context, how, dir string) (int, error) {
	switch how {
	case "panic":
		panic("boom")
	case "goexit":
		runtime.Goexit()
	case "deadline":
		return 0, fmt.Errorf("of its own: %w", context.DeadlineExceeded)
	case "exit":
		if _, err := os.Stat(filepath.Join(dir, "exited")); err == nil {
			return 3, nil
		}
		note(dir, "exited")
		os.Exit(5)
	}
	return 0, fmt.Errorf("as %s: %w", how, fs.ErrNotExist)
}

var (
	rulesHeld     = api.Func2(held)
	rulesReleased = api.Func1(released)
	rulesParent   = api.Func2(parent)
	rulesFails    = api.Func2(fails)
	rulesContext  *api.RemoteFunc1[int, Context]
	rulesNest     *api.RemoteFunc1[int, int]
	rulesNestWide *api.RemoteFunc2[int, api.NodeID, int]
	rulesTree     *api.RemoteFunc4[string, string, int, api.NodeID, int]
	rulesLeaver   *api.RemoteFunc4[string, string, int, api.NodeID, int]
	rulesFounder  = api.Func3(founder)
)

func init() {
	rulesContext, rulesNest, rulesTree = api.Func1(contextOf), api.Func1(nest), api.Func4(tree)
	rulesLeaver, rulesNestWide = api.Func4(leaver), api.Func2(nestWide)
}

func ruleRunning(t *testing.T, c context.Context, at place, dir string) {
	bound, cancel := context.WithCancel(c)
	defer cancel()
	ref := rulesHeld.Options(at.task...).Remote(bound, dir, "it")
	must(0, noted(c, dir, "it began"))(t)
	cancel()
	if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) || !errors.Is(err, context.Canceled) {
		t.Errorf("Get gives %v", err)
	}
	must(0, noted(c, dir, "it ended"))(t)
}

func ruleQueued(t *testing.T, c context.Context, at place, dir string) {
	all := append([]api.TaskOption{api.NumCPUs(4)}, at.task...) // the whole node
	first, release := context.WithCancel(c)
	defer release()
	rulesHeld.Options(all...).Remote(first, dir, "first")
	must(0, noted(c, dir, "first began"))(t)
	bound, cancel := context.WithCancel(c)
	defer cancel()
	ref := rulesHeld.Options(all...).Remote(bound, dir, "second")
	must(whoFunc.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...).Remote(c).Get(c))(t) // it is there then
	cancel()
	if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Errorf("Get gives %v", err)
	}
	release()
	note(dir, "go")
	must(rulesReleased.Options(all...).Remote(c, dir).Get(c))(t) // after both
	if _, err := os.Stat(filepath.Join(dir, "second began")); err == nil {
		t.Error("it ran")
	}
}

func ruleDeadline(t *testing.T, c context.Context, at place, _ string) {
	begin := time.Now()
	bound, cancel := context.WithTimeout(c, within/2)
	defer cancel()
	v := must(rulesContext.Options(at.task...).Remote(bound, 2).Get(c))(t)
	least := within/2 - time.Since(begin)
	for p := &v; p != nil; p = p.Child {
		if p.Left < least || p.Left > within/2 {
			t.Errorf("%v left, which is not between %v and %v", p.Left, least, within/2)
		}
	}
}

func ruleValues(t *testing.T, c context.Context, at place, _ string) {
	v := must(rulesContext.Options(at.task...).Remote(context.WithValue(c, ruleKey{}, 1), 1).Get(c))(t)
	if v.Value || v.Child.Value {
		t.Error("a value travelled")
	}
}

func ruleDetached(t *testing.T, c context.Context, at place, dir string) {
	bound, cancel := context.WithCancel(c)
	child := must(rulesParent.Options(at.task...).Remote(bound, dir, true).Get(c))(t)
	must(0, noted(c, dir, "began"))(t)
	cancel()
	note(dir, "go")
	if v, err := child.Get(c); v != 7 || err != nil {
		t.Errorf("a task under WithoutCancel gives %d, %v", v, err)
	}
}

func ruleReturn(t *testing.T, c context.Context, at place, dir string) {
	child := must(rulesParent.Options(at.task...).Remote(c, dir, false).Get(c))(t)
	must(0, noted(c, dir, "context ended"))(t)
	note(dir, "go")
	if v, err := child.Get(c); v != 7 || err != nil {
		t.Errorf("what it started gives %d, %v", v, err)
	}
}

func ruleCreation(t *testing.T, c context.Context, at place, _ string) {
	bound, cancel := context.WithCancel(c)
	a := ruleActor.Options(at.class...).Remote(bound)
	must(0, a.Ready(c))(t)
	cancel()
	if v, err := ruleAdd.Remote(c, a, 3).Get(c); v != 3 || err != nil {
		t.Errorf("a call gives %d, %v", v, err)
	}
	if _, err := ruleAdd.Remote(bound, a, 3).Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Errorf("a call under a context that has ended gives %v", err)
	}
	must(0, a.Kill(c))(t)
}

func ruleGet(t *testing.T, c context.Context, at place, dir string) {
	ref := rulesReleased.Options(at.task...).Remote(c, dir)
	must(0, noted(c, dir, "began"))(t)
	short, cancel := context.WithTimeout(c, 10*time.Millisecond)
	defer cancel()
	if _, err := ref.Get(short); err != context.DeadlineExceeded {
		t.Errorf("Get under a context that ends: %v", err)
	}
	note(dir, "go")
	if v, err := ref.Get(c); v != 7 || err != nil {
		t.Errorf("afterwards the task gives %d, %v", v, err)
	}
	var task *api.TaskError
	if _, err := rulesFails.Options(at.task...).Remote(c, "deadline", dir).Get(c); !errors.As(err, &task) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a task's own error: %v", err)
	}
}

func ruleCancel(t *testing.T, c context.Context, at place, dir string) {
	bound, end := context.WithCancel(c)
	defer end()
	ref := rulesTree.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...).Remote(bound, dir, "t", 1, at.node)
	must(0, noted(c, dir, "ta began"))(t)
	must(0, api.Cancel(c, ref))(t)
	must(0, noted(c, dir, "t ended"))(t)
	if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Errorf("Get gives %v", err)
	}
	who := must(whoFunc.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...).Remote(c).Get(c))(t) // what came before is there
	if _, err := os.Stat(filepath.Join(dir, "ta ended")); err == nil {
		t.Error("what it started has ended")
	}
	if who.PID == os.Getpid() { // it writes to the folder, which is removed next
		end()
		must(0, noted(c, dir, "ta ended"))(t)
	}
}

func ruleRecursive(t *testing.T, c context.Context, at place, dir string) {
	bound, end := context.WithCancel(c)
	defer end()
	ref := rulesTree.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...).Remote(bound, dir, "t", 2, at.node)
	for _, name := range leaves {
		must(0, noted(c, dir, name+" began"))(t)
	}
	must(0, noted(c, dir, "t apart began"))(t)
	must(0, api.Cancel(c, ref, api.Recursive()))(t)
	for _, name := range leaves {
		must(0, noted(c, dir, name+" ended"))(t)
	}
	if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Errorf("Get gives %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "t apart ended")); err == nil {
		t.Error("what was started under WithoutCancel has ended")
	}
}

func ruleRecursiveLater(t *testing.T, c context.Context, at place, dir string) {
	first := must(whoFunc.Remote(c).Get(c))(t).Node
	to := []api.NodeID{at.node}
	if at.node != "" {
		to = append(to, first) // what the other node has started on this one
	}
	for i, to := range to {
		dir := filepath.Join(dir, fmt.Sprint(i))
		must(0, os.Mkdir(dir, 0o700))(t)
		bound, end := context.WithCancel(c)
		defer end()
		ref := rulesFounder.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...).Remote(bound, dir, "f", to)
		names := []string{"fl here", "fl there", "fla here", "fla there"}
		for _, name := range append(names, "fx here", "f") {
			must(0, noted(c, dir, name+" began"))(t)
		}
		must(0, api.Cancel(c, ref, api.Recursive()))(t)
		for _, name := range append(names, "f") {
			must(0, noted(c, dir, name+" ended"))(t)
		}
		if _, err := os.Stat(filepath.Join(dir, "fx here ended")); err == nil {
			t.Error("what was started under WithoutCancel has ended")
		}
	}
}

func ruleBounded(t *testing.T, c context.Context, at place, dir string) {
	bound, end := context.WithCancel(c)
	defer end()
	rulesTree.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...).Remote(bound, dir, "t", 2, at.node)
	for _, name := range leaves {
		must(0, noted(c, dir, name+" began"))(t)
	}
	end()
	for _, name := range leaves {
		must(0, noted(c, dir, name+" ended"))(t)
	}
}

func ruleBoundedLater(t *testing.T, c context.Context, at place, dir string) {
	first := must(whoFunc.Remote(c).Get(c))(t).Node
	back := at.node
	for _, n := range must(api.Nodes(c))(t) {
		if at.node != "" && n.ID != at.node {
			back = n.ID // what the other node starts comes back to this one
		}
	}
	for _, to := range []api.NodeID{at.node, back, first} {
		sub := filepath.Join(dir, "to-"+string(to))
		os.Mkdir(sub, 0o700)
		bound, end := context.WithCancel(c)
		defer end()
		must(rulesLeaver.Options(append([]api.TaskOption{api.NumCPUs(0)}, at.task...)...).Remote(bound, sub, "l", 2, to).Get(c))(t)
		for _, name := range []string{"l", "la", "laa"} {
			must(0, noted(c, sub, name+" here began"))(t)
			must(0, noted(c, sub, name+" there began"))(t)
		}
		end()
		for _, name := range []string{"l", "la", "laa"} {
			must(0, noted(c, sub, name+" here ended"))(t)
			must(0, noted(c, sub, name+" there ended"))(t)
		}
	}
}

func ruleNesting(t *testing.T, c context.Context, at place, _ string) {
	if v := must(rulesNest.Options(at.task...).Remote(c, 40).Get(c))(t); v != 40 {
		t.Errorf("40 tasks deep: %d", v)
	}
}

func ruleNestingWide(t *testing.T, c context.Context, at place, _ string) {
	if v := must(rulesNestWide.Options(at.task...).Remote(c, 8, at.node).Get(c))(t); v != 8 {
		t.Errorf("8 tasks deep: %d", v)
	}
}

func rulePanic(t *testing.T, c context.Context, at place, dir string) {
	_, err := rulesFails.Options(at.task...).Remote(c, "panic", dir).Get(c)
	var task *api.TaskError
	if !errors.As(err, &task) || !strings.Contains(err.Error(), "boom") || !strings.Contains(task.Stack, "rules_test.go") {
		t.Errorf("%v, with the stack %q", err, task.Stack)
	}
}

func ruleGoexit(t *testing.T, c context.Context, at place, dir string) {
	ref := rulesFails.Options(at.task...).Remote(c, "goexit", dir)
	api.Wait(c, []api.Ref[int]{ref}) // Get may run it, and end with it
	var task *api.TaskError
	if _, err := ref.Get(c); !errors.As(err, &task) {
		t.Errorf("%v", err)
	}
}

func ruleExit(t *testing.T, c context.Context, at place, dir string) {
	own := rulesFails.Options(append([]api.TaskOption{api.OwnProcess(), api.MaxRetries(0)}, at.task...)...)
	var died *api.WorkerDiedError
	if _, err := own.Remote(c, "exit", dir).Get(c); !errors.As(err, &died) || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("without retries: %v", err)
	}
	must(0, os.Remove(filepath.Join(dir, "exited")))(t)
	if v, err := own.Options(api.MaxRetries(1)).Remote(c, "exit", dir).Get(c); v != 3 || err != nil {
		t.Errorf("with one: %d, %v", v, err)
	}
}

func ruleErrors(t *testing.T, c context.Context, at place, dir string) {
	_, err := rulesFails.Options(at.task...).Remote(c, "usual", dir).Get(c)
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(err.Error(), "as usual: file does not exist") {
		t.Errorf("%v", err)
	}
}

func ruleInfo(t *testing.T, c context.Context, at place, _ string) {
	i := must(whoFunc.Options(at.task...).Remote(c).Get(c))(t)
	if i.Task == "" || i.Job == "" || i.PID == 0 || i.Attempt != 0 || at.node != "" && (i.Node != at.node || i.PID == os.Getpid()) {
		t.Errorf("%+v", i)
	}
}

// TestBoundOfWhatATaskStarted ends a context after the task has returned that it was given to: what that has started
// under its own context ends too.
func TestBoundOfWhatATaskStarted(t *testing.T) {
	c, dir := start(t), t.TempDir()
	bound, cancel := context.WithCancel(c)
	child := must(rulesParent.Remote(bound, dir, false).Get(c))(t)
	must(0, noted(c, dir, "began"))(t)
	cancel()
	if _, err := child.Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Errorf("it gives %v", err)
	}
}

// Sum is an actor of the rules.
type Sum struct{ n int }

// Add adds.
func (s *Sum) Add(_ context.Context, n int) (int, error) { s.n += n; return s.n, nil }

var (
	ruleActor = api.Class0(func(context.Context) (*Sum, error) { return &Sum{}, nil }, api.RegisterAs("rules.Sum"))
	ruleAdd   = api.Method1((*Sum).Add)
)
