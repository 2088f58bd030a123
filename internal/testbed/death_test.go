package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Crew are the processes of the driver "stay".
type Crew struct {
	Actor, Task, Child int
	Node               string // of an embedded driver
}

func init() {
	drivers["stay"] = attached(stay)
	drivers["stay embedded"] = attached(stay, api.Embedded())
	drivers["survive"] = attached(survive)
	drivers["bereft"] = attached(bereft)
	drivers["start"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		w, err := WhereAfter.Remote(ctx, 0).Get(ctx)
		if err != nil {
			return err
		}
		return s.Say(w)
	})
}

// stay has an actor and a task in processes of their own, a child of theirs, objects in the arena, and waits
// to be killed.
func stay(ctx context.Context, s *testbed.Stage) error {
	spot := NewSpot.Options(api.OwnProcess()).Remote(ctx)
	w, err := WhereIs.Remote(ctx, spot).Get(ctx)
	if err != nil {
		return err
	}
	c := Crew{Actor: w.PID, Node: w.Node}
	if c.Child, err = Spawn.Remote(ctx, spot).Get(ctx); err != nil {
		return err
	}
	if w, err = WhereAfter.Options(api.OwnProcess()).Remote(ctx, 0).Get(ctx); err != nil {
		return err
	}
	c.Task = w.PID
	a, err := api.ArrayOf(ctx, pattern(blockSize, 0))
	if err != nil {
		return err
	}
	ref, err := api.Put(ctx, a)
	if err != nil {
		return err
	}
	made, err := ArrayOf.Options(api.OwnProcess()).Remote(ctx, blockSize, 1).Get(ctx)
	if err != nil {
		return err
	}
	Hold.Options(api.OwnProcess()).Remote(ctx)
	Hold.Remote(ctx)
	if err := s.Say(c); err != nil {
		return err
	}
	s.Hear(&c) // the end
	made.Release()
	_, err = ref.Get(ctx)
	return err
}

// awaitKilled waits until processes are gone.
func awaitKilled(t *testing.T, pids ...int) {
	t.Helper()
	var left []int
	testbed.Until(t, time.Minute, func() bool {
		left = slices.DeleteFunc(slices.Clone(pids), func(pid int) bool { return !testbed.Alive(pid) })
		return len(left) == 0
	}, func() string { return fmt.Sprintf("processes %v are left", left) })
}

// awaitMappers waits until no others than the processes named have mapped the arena.
func awaitMappers(t *testing.T, arena testbed.Mapping, pids ...int) {
	t.Helper()
	var left []int
	testbed.Until(t, time.Minute, func() bool { left = testbed.Mappers(arena); return same(left, pids) }, func() string {
		return fmt.Sprintf("%v have mapped the arena, not %v", left, pids)
	})
}

func TestDriverKilled(t *testing.T) {
	testbed.NeedRoot(t)
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2", "--object-store-memory", "64MiB"}})
	d := n.Driver("stay")
	var c Crew
	d.Hear(&c)
	arena := common(t, n.PID, d.PID, c.Actor)
	if s := n.Status(); s.Store.Objects == 0 || len(s.Workers) < 2 {
		t.Fatalf("nothing to clear away: %+v", s)
	}
	d.Kill()
	awaitKilled(t, c.Actor, c.Task, c.Child)
	bed.AwaitGone(n.PID)
	awaitMappers(t, arena, n.PID)
	var s testbed.Status
	testbed.Until(t, time.Minute, func() bool {
		s = n.Status()
		return len(s.Workers) == 0 && len(s.Jobs) == 0 && s.Store.Objects == 0 && s.Store.Holders == 0 && s.Store.Blocks == 0
	}, func() string { return fmt.Sprintf("the node still has %+v", s) })
	if left := below(t, n.StateDir, "scratch"); len(left) > 0 {
		t.Errorf("scratch folders are left: %v", left)
	}
	again := n.Driver("start") // the node is as good as before
	var w Where
	again.Hear(&w)
	again.Succeed(10 * time.Second)
	n.Stop()
}

// below lists what is in a folder of a state folder; none is as good as an empty one.
func below(t *testing.T, parts ...string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(parts...))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// Survival is what the driver "survive" says when workers were killed.
type Survival struct {
	First, Second Where // of one task
	Died          string
}

// survive tells where things run, so that the test can kill their processes, and how that went.
func survive(ctx context.Context, s *testbed.Stage) error {
	spot := NewSpot.Options(api.OwnProcess()).Remote(ctx)
	w, err := WhereIs.Remote(ctx, spot).Get(ctx)
	if err != nil {
		return err
	}
	c := Crew{Actor: w.PID}
	if c.Child, err = Spawn.Remote(ctx, spot).Get(ctx); err != nil {
		return err
	}
	note, err := os.MkdirTemp(os.Getenv("HOME"), "note") // the test's folder
	if err != nil {
		return err
	}
	defer os.RemoveAll(note)
	retried := Note.Options(api.OwnProcess()).Remote(ctx, note)
	if c.Task, err = noted(ctx, note); err != nil {
		return err
	}
	if err := s.Say(c); err != nil {
		return err
	}
	if err := s.Hear(&c); err != nil { // both are killed
		return err
	}
	var out Survival
	if out.Second, err = retried.Get(ctx); err != nil {
		return fmt.Errorf("a task whose worker was killed: %w", err)
	}
	_, err = WhereIs.Remote(ctx, spot).Get(ctx)
	var died *api.ActorDiedError
	if !errors.As(err, &died) {
		return fmt.Errorf("an actor whose process was killed: %w", err)
	}
	out.Died = err.Error()
	_, err = Leave.Options(api.OwnProcess(), api.MaxRetries(0)).Remote(ctx, 0).Get(ctx)
	var worker *api.WorkerDiedError
	if !errors.As(err, &worker) {
		return fmt.Errorf("a task that ends its process: %w", err)
	}
	return s.Say(out)
}

// note writes the number of its process into a folder, and the first attempt stays there.
func note(ctx context.Context, dir string) (Where, error) {
	w, err := here(ctx)
	if err != nil || w.Attempt > 0 {
		return w, err
	}
	tmp := filepath.Join(dir, "tmp")
	if err := os.WriteFile(tmp, fmt.Append(nil, w.PID), 0o600); err != nil {
		return w, err
	}
	if err := os.Rename(tmp, filepath.Join(dir, "pid")); err != nil {
		return w, err
	}
	<-ctx.Done()
	return w, ctx.Err()
}

var Note = api.Func1(note)

// noted waits for the number that note writes.
func noted(ctx context.Context, dir string) (pid int, err error) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		b, err := os.ReadFile(filepath.Join(dir, "pid"))
		if err == nil {
			_, err = fmt.Sscan(string(b), &pid)
			return pid, err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func TestWorkerKilled(t *testing.T) {
	testbed.NeedRoot(t)
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2", "--object-store-memory", "64MiB"}})
	d := n.Driver("survive")
	var c Crew
	d.Hear(&c)
	arena := common(t, n.PID, d.PID, c.Actor)
	for _, pid := range []int{c.Actor, c.Task} {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	awaitKilled(t, c.Actor, c.Task, c.Child)
	for _, pid := range testbed.Mappers(arena) {
		if pid == c.Actor || pid == c.Task {
			t.Errorf("killed process %d has mapped the arena", pid)
		}
	}
	d.Tell(c)
	var out Survival
	d.Hear(&out)
	if out.Second.Attempt != 1 || out.Second.PID == c.Task {
		t.Errorf("the task whose worker %d was killed gave %+v", c.Task, out.Second)
	}
	d.Succeed(10 * time.Second)
	bed.AwaitGone(n.PID)
	awaitMappers(t, arena, n.PID)
	n.Stop()
}

// bereft loses its node, and says what calls give then.
func bereft(ctx context.Context, s *testbed.Stage) error {
	spot := NewSpot.Options(api.OwnProcess()).Remote(ctx)
	w, err := WhereIs.Remote(ctx, spot).Get(ctx)
	if err != nil {
		return err
	}
	c := Crew{Actor: w.PID}
	if c.Child, err = Spawn.Remote(ctx, spot).Get(ctx); err != nil {
		return err
	}
	waiting := Hold.Options(api.OwnProcess()).Remote(ctx)
	if err := s.Say(c); err != nil {
		return err
	}
	_, err = waiting.Get(ctx)
	if err == nil || ctx.Err() != nil {
		return fmt.Errorf("waiting for a task of a killed node: %w", err)
	}
	said := []string{err.Error()}
	if _, err := WhereAfter.Options(api.OwnProcess()).Remote(ctx, 0).Get(ctx); err != nil {
		said = append(said, err.Error())
	}
	return s.Say(said)
}

func TestNodeKilled(t *testing.T) {
	testbed.NeedRoot(t)
	bed := testbed.New(t)
	state := bed.Folder("state")
	n := bed.StartNode(testbed.NodeConfig{StateDir: state, Args: []string{"--object-store-memory", "64MiB"}})
	d := n.Driver("bereft")
	var c Crew
	d.Hear(&c)
	arena := common(t, n.PID, d.PID, c.Actor)
	n.Kill()
	awaitKilled(t, c.Actor)
	var said []string
	d.Hear(&said)
	if len(said) != 2 || !testbed.Says(strings.Join(said, "\n"), "node") {
		t.Errorf("the driver whose node was killed heard %q", said)
	}
	d.Wait(10 * time.Second) // its Close may well say that there is no node
	awaitKilled(t, c.Child)
	bed.AwaitGone()
	awaitMappers(t, arena)

	if left := below(t, bed.Runtime, "kadre", "default"); len(left) == 0 {
		t.Fatal("the killed node left nothing: the test proves nothing")
	}
	bed.Sub(t, "swept by a node", func(t *testing.T) {
		again := bed.StartNode(testbed.NodeConfig{StateDir: state})
		checkOnly(t, bed, again.Socket)
		if left := below(t, state, "scratch"); len(left) > 0 {
			t.Errorf("scratch folders are left: %v", left)
		}
		if again.ID != n.ID {
			t.Errorf("the node was %s and is %s with the same state folder", n.ID, again.ID)
		}
		again.Kill()
	})
	bed.Sub(t, "swept by a driver", func(t *testing.T) {
		d := bed.Driver("start", testbed.Place{})
		var w Where
		d.Hear(&w)
		d.Succeed(10 * time.Second)
		checkOnly(t, bed, "")
	})
}

// checkOnly checks that the runtime folder has the files of one node, or of none, and the user's secret.
func checkOnly(t *testing.T, bed *testbed.Bed, socket string) {
	t.Helper()
	short := strings.TrimSuffix(filepath.Base(socket), ".sock")
	for _, name := range below(t, bed.Runtime, "kadre", "default") {
		if socket == "" || !strings.HasPrefix(strings.TrimPrefix(name, "."), short) { // it may be writing one
			t.Errorf("%s is left in the runtime folder", name)
		}
	}
}

func TestEmbeddedDriverKilled(t *testing.T) {
	bed := testbed.New(t)
	d := bed.Driver("stay embedded", testbed.Place{})
	var c Crew
	d.Hear(&c)
	left := below(t, bed.Runtime, "kadre", "default")
	d.Kill()
	awaitKilled(t, c.Actor, c.Task, c.Child)
	bed.AwaitGone()
	t.Logf("in the runtime folder: %v", left)
	n := bed.StartNode(testbed.NodeConfig{})
	checkOnly(t, bed, n.Socket)
	n.Stop()
}

// TestKilledAnywhere kills nodes and drivers with nodes in them at moments of their start and end. The Bed
// checks that the next look sweeps all that they left.
func TestKilledAnywhere(t *testing.T) {
	needTime(t)
	bed := testbed.New(t)
	state := bed.Folder("state")
	const moments, apart = 12, 4 * time.Millisecond
	for i := range moments {
		n := bed.Launch(testbed.NodeConfig{StateDir: state})
		d := bed.Driver("start", testbed.Place{Runtime: bed.Folder("alone")})
		<-time.After(time.Duration(i) * apart) // the moment
		n.Kill()
		d.Kill()
	}
	n := bed.StartNode(testbed.NodeConfig{StateDir: state})
	checkOnly(t, bed, n.Socket)
	for i := range moments / 2 {
		ending := bed.StartNode(testbed.NodeConfig{})
		ending.Signal(syscall.SIGTERM)
		<-time.After(time.Duration(i) * apart / 4)
		ending.Kill()
	}
	n.Stop()
}
