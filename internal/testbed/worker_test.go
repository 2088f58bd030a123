package testbed_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
	"github.com/kadrehq/kadre/internal/trace"
)

// Errand says where the drivers "look" and "own" run their task.
type Errand struct{ Node, Said string }

func init() {
	drivers["look"] = attached(look, api.WorkerEnv("KEPT_FOR_WORKERS"))
	drivers["own"] = attached(own)
}

// look runs a task on a node, tells of its surroundings and stays until the test has looked at them.
func look(ctx context.Context, s *testbed.Stage) error {
	var e Errand
	if err := s.Hear(&e); err != nil {
		return err
	}
	on, err := LookAround.Options(api.OnNode(api.NodeID(e.Node), false)).Remote(ctx, e.Said).Get(ctx)
	if err != nil {
		return err
	}
	if err := s.Say(on); err != nil {
		return err
	}
	s.Hear(&e) // the end
	return nil
}

// own runs tasks and an actor in processes of their own.
func own(ctx context.Context, s *testbed.Stage) error {
	var all []Where
	for range 2 {
		w, err := WhereAfter.Options(api.OwnProcess()).Remote(ctx, 0).Get(ctx)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	a, b := NewSpot.Options(api.OwnProcess()).Remote(ctx), NewSpot.Options(api.OwnProcess()).Remote(ctx)
	for _, spot := range []api.Actor[Spot]{a, b} {
		w, err := WhereIs.Remote(ctx, spot).Get(ctx)
		if err != nil {
			return err
		}
		all = append(all, w)
	}
	return s.Say(all)
}

func TestWorkerIsTheDriversExecutable(t *testing.T) {
	bed := testbed.New(t)
	token := bed.Token("token")
	home := bed.StartNode(testbed.NodeConfig{Args: []string{"--token-file", token, "--listen", "127.0.0.1:0"}})
	far := testbed.Place{Runtime: bed.Folder("rf"), State: bed.Folder("sf"), Env: []string{"KADRE_TOKEN_FILE=" + token, "UNWANTED=1"}}
	away := bed.StartNode(testbed.NodeConfig{Place: far, Args: []string{"--join", home.Addr(), "--listen", "127.0.0.1:0"}})
	testbed.AwaitMembers(home, away)

	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	want := testbed.Checksum(t, exe)
	for _, dir := range []string{far.Runtime, far.State, away.StateDir} {
		if path := holding(t, dir, want); path != "" {
			t.Fatalf("%s is the driver's executable already", path)
		}
	}

	const said = "nobody expects"
	d := home.Driver("look", "KEPT_FOR_WORKERS=yes", "KEPT_FROM_WORKERS=no", "OTHER_SECRET=1")
	d.Tell(Errand{away.ID, said})
	var on Surroundings
	d.Hear(&on)

	if on.Node != away.ID || on.PID == d.PID || on.PID == away.PID || on.PID == home.PID {
		t.Errorf("ran on %s in process %d", on.Node, on.PID)
	}
	if got := testbed.Executable(t, on.PID); got != want {
		t.Errorf("the worker %d (%s) runs %s and the driver %s", on.PID, on.Exe, got, want)
	}
	if holding(t, away.StateDir, want) == "" {
		t.Errorf("the executable %s lies in no folder of its node; the worker runs %s", want, on.Exe)
	}
	if len(on.Args) != 1 { // the driver got none
		t.Errorf("the worker got the arguments %q", on.Args)
	}
	checkSurroundings(t, &on, away)

	for _, stream := range []string{"output", "error"} {
		d.AwaitStderr(time.Minute, said+" on standard "+stream)
		line := lineWith(d.Stderr(), said+" on standard "+stream)
		if !testbed.Says(line, strconv.Itoa(on.PID), shortOf(away.ID)) {
			t.Errorf("the line %q does not tell process %d and node %s", line, on.PID, away.ID)
		}
	}
	d.Succeed(10 * time.Second)
	bed.AwaitGone(home.PID, away.PID)
}

// TestExecutableComesFromWhoHasIt has a node get a job's executable from another one that ran the job, and the next
// from the job's home, since that other one is dead.
func TestExecutableComesFromWhoHasIt(t *testing.T) {
	needTime(t)
	bed := testbed.New(t)
	token := bed.Token("token")
	var nodes []*testbed.Node
	for i := range 4 {
		c := testbed.NodeConfig{
			Place: testbed.Place{Runtime: bed.Folder(fmt.Sprint("r", i)), State: bed.Folder(fmt.Sprint("s", i))},
			Args:  []string{"--token-file", token, "--listen", "127.0.0.1:0"},
		}
		if i > 0 {
			c.Args = append(c.Args, "--join", nodes[0].Addr())
		}
		nodes = append(nodes, bed.StartNode(c))
	}
	testbed.AwaitMembers(nodes...)
	home, first, second, third := nodes[0], nodes[1], nodes[2], nodes[3]
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(exe)
	if err != nil {
		t.Fatal(err)
	}
	runOn := func(n *testbed.Node) {
		t.Helper()
		d := home.Driver("look", "KEPT_FOR_WORKERS=yes")
		d.Tell(Errand{n.ID, "x"})
		var on Surroundings
		d.Hear(&on)
		d.Succeed(time.Minute)
		if on.Node != n.ID {
			t.Fatalf("it ran on %s instead of %s", on.Node, n.ID)
		}
	}
	gave := func(home, first int64) {
		t.Helper()
		for i, want := range []int64{home, first} {
			if got := nodes[i].Status().Bytes.ExeOut; got != want*info.Size() {
				t.Errorf("node %d gave %d bytes of the executable, want %d times %d", i, got, want, info.Size())
			}
		}
	}
	runOn(first)
	var es []trace.Event
	testbed.Until(t, 30*time.Second, func() bool {
		es = first.Events()
		return slices.ContainsFunc(es, func(e trace.Event) bool { return e.Layer == "exe" && e.Kind == "provided" })
	}, func() string { return fmt.Sprintf("the node does not tell that it has the executable: %+v", es) })
	gave(1, 0)
	runOn(second)
	gave(1, 1)
	first.Kill()
	second.Kill()
	runOn(third)
	if got := home.Status().Bytes.ExeOut; got != 2*info.Size() {
		t.Errorf("the home gave %d bytes, want twice %d", got, info.Size())
	}
}

// checkSurroundings checks a worker's standard input, environment and folder.
func checkSurroundings(t *testing.T, on *Surroundings, n *testbed.Node) {
	t.Helper()
	if on.Stdin != "" {
		t.Errorf("the worker reads %q", on.Stdin)
	}
	for _, v := range on.Env {
		name, value, _ := strings.Cut(v, "=")
		known := slices.Contains([]string{"PATH", "HOME", "TZ", "LANG", "KEPT_FOR_WORKERS"}, name)
		if !known && !strings.HasPrefix(name, "KADRE_") || strings.Contains(name, "TOKEN") {
			t.Errorf("the worker got %s=%s", name, value)
		}
	}
	if !slices.Contains(on.Env, "KEPT_FOR_WORKERS=yes") {
		t.Errorf("the worker did not get what WorkerEnv names: %q", on.Env)
	}
	if !strings.HasPrefix(on.Dir, n.StateDir+string(filepath.Separator)) {
		t.Errorf("the worker runs in %s, outside of %s", on.Dir, n.StateDir)
	}
	if entries, err := os.ReadDir(on.Dir); err != nil || len(entries) > 0 {
		t.Errorf("the worker's folder has %v (%v)", entries, err)
	}
}

// holding finds a file with a checksum below a folder.
func holding(t *testing.T, dir, sum string) (found string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() && testbed.Checksum(t, path) == sum {
			found = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// lineWith finds a line of a text.
func lineWith(text, part string) string {
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			return line
		}
	}
	return ""
}

// shortOf is the end of a node's name, which is how people are told of it.
func shortOf(id string) string { return id[len(id)-6:] }

func TestOwnProcess(t *testing.T) {
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}})
	d := n.Driver("own")
	var all []Where
	d.Hear(&all)
	tasks, actors := all[:2], all[2:]
	for _, w := range all {
		if w.PID == d.PID || w.PID == n.PID {
			t.Errorf("%+v ran in the process of the driver %d or of the node %d", w, d.PID, n.PID)
		}
	}
	if actors[0].PID == actors[1].PID || actors[0].PID == tasks[0].PID || actors[0].PID == tasks[1].PID {
		t.Errorf("an actor shares its process: %+v", all)
	}
	d.Succeed(10 * time.Second)
	bed.AwaitGone(n.PID)
	n.Stop()
}
