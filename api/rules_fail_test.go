package api_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// Rules of how tasks and actors fail.

// orphans starts a program that runs for long, and ends its own process.
func orphans(_ context.Context, dir string) (int, error) {
	cmd := exec.Command("sleep", "1000")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	os.WriteFile(filepath.Join(dir, "part"), []byte(strconv.Itoa(cmd.Process.Pid)), 0o600)
	os.Rename(filepath.Join(dir, "part"), filepath.Join(dir, "child"))
	os.Exit(5)
	return 0, nil
}

// Mortal is an actor that ends its process when it is told to.
type Mortal struct{ dir string }

// End ends it.
func (m *Mortal) End(context.Context) (int, error) { os.Exit(6); return 0, nil }

// Live says where it lives.
func (m *Mortal) Live(ctx context.Context) (api.Info, error) {
	i, _ := api.FromContext(ctx)
	return i, nil
}

// newMortal waits until it may be constructed.
func newMortal(ctx context.Context, dir string) (*Mortal, error) {
	note(dir, "constructing")
	return &Mortal{dir}, noted(ctx, dir, "go")
}

var (
	rulesOrphans = api.Func1(orphans, api.OwnProcess(), api.MaxRetries(0))
	ruleMortal   = api.Class1(newMortal, api.RegisterAs("rules.Mortal"))
	mortalEnd    = api.Method0((*Mortal).End)
	mortalLive   = api.Method0((*Mortal).Live)
	failRules    = []rule{
		{"a creating context bounds the construction of an actor", ruleConstruction},
		{"a panic beside the task ends its process", ruleBeside},
		{"what runs again knows which attempt it is", ruleAttempt},
		{"child processes end with their worker", ruleChildren},
		{"a call says whether it may have run when its actor died", ruleActorDied},
		{"sentinels, registered types and chains cross", ruleChains},
		{"ErrCancelled is context.Canceled, and neither ends the getter", ruleCancelled},
		{"what no node can give is unschedulable", ruleUnschedulable},
		{"a task that fails fails those that take its result", ruleTaken},
		{"GetAll names who failed and the rest keep running", ruleGetAll},
	}
)

// own is with a process of its own.
func (at place) own() []api.TaskOption { return append([]api.TaskOption{api.OwnProcess()}, at.task...) }

func ruleConstruction(t *testing.T, c context.Context, at place, dir string) {
	bound, cancel := context.WithCancel(c)
	defer cancel()
	a := ruleMortal.Options(at.class...).Remote(bound, dir)
	must(0, noted(c, dir, "constructing"))(t)
	cancel()
	if err := a.Ready(c); !errors.Is(err, api.ErrCancelled) && !errors.Is(err, context.Canceled) {
		t.Errorf("Ready gives %v", err)
	}
	if _, err := mortalLive.Remote(c, a).Get(c); err == nil {
		t.Error("an actor that was not constructed answers")
	}
}

func ruleBeside(t *testing.T, c context.Context, at place, dir string) {
	all := endings.Options(at.own()...)
	var died *api.WorkerDiedError
	if _, err := all.Options(api.MaxRetries(0)).Remote(c, "panic", dir).Get(c); !errors.As(err, &died) || !strings.Contains(err.Error(), "panic: boom beside the task") {
		t.Errorf("it gives %v", err)
	}
}

// endsThenTells exits from its process in its first attempt, and tells of itself in the next.
func endsThenTells(ctx context.Context, _ int) (api.Info, error) {
	i, _ := api.FromContext(ctx)
	if i.Attempt == 0 {
		os.Exit(5)
	}
	return i, nil
}

var rulesTells = api.Func1(endsThenTells, api.OwnProcess())

func ruleAttempt(t *testing.T, c context.Context, at place, _ string) {
	i := must(rulesTells.Options(at.task...).Remote(c, 0).Get(c))(t)
	if i.Attempt != 1 || i.PID == os.Getpid() {
		t.Errorf("it ran as %+v", i)
	}
}

func ruleChildren(t *testing.T, c context.Context, at place, dir string) {
	var died *api.WorkerDiedError
	if _, err := rulesOrphans.Options(at.task...).Remote(c, dir).Get(c); !errors.As(err, &died) {
		t.Errorf("it gives %v", err)
	}
	pid, err := strconv.Atoi(string(must(os.ReadFile(filepath.Join(dir, "child")))(t)))
	if err != nil {
		t.Fatal(err)
	}
	for alive(pid) && c.Err() == nil {
		time.Sleep(time.Millisecond)
	}
	if c.Err() != nil {
		t.Errorf("process %d is left", pid)
	}
}

// alive says whether a process runs; one that has ended and that nobody has waited for does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	_, after, _ := strings.Cut(string(b), ") ")
	return !strings.HasPrefix(after, "Z")
}

func ruleActorDied(t *testing.T, c context.Context, at place, dir string) {
	note(dir, "go")
	a := ruleMortal.Options(append([]api.ClassOption{api.OwnProcess()}, at.class...)...).Remote(c, dir)
	i := must(mortalLive.Remote(c, a).Get(c))(t)
	if i.Actor != a.ID() || i.PID == os.Getpid() || at.node != "" && i.Node != at.node {
		t.Errorf("the actor lives as %+v", i)
	}
	var died *api.ActorDiedError
	if _, err := mortalEnd.Remote(c, a).Get(c); !errors.As(err, &died) || !died.MayRan {
		t.Errorf("the call that ended it gives %v", err)
	}
	died = nil
	if _, err := mortalLive.Remote(c, a).Get(c); !errors.As(err, &died) || died.MayRan || api.ActorID(died.Actor) != a.ID() {
		t.Errorf("a later call gives %v", err)
	}
}

func ruleChains(t *testing.T, c context.Context, at place, _ string) {
	get := func(kind string) error {
		t.Helper()
		_, err := failAsFunc.Options(at.task...).Remote(c, kind).Get(c)
		var task *api.TaskError
		if !errors.As(err, &task) || !strings.HasSuffix(task.Func, "failAs") || at.node != "" && task.PID == os.Getpid() {
			t.Errorf("%s: %v is no TaskError of failAs", kind, err)
		}
		return err
	}
	checkChains(t, get)
}

func ruleCancelled(t *testing.T, c context.Context, at place, dir string) {
	bound, cancel := context.WithCancel(c)
	defer cancel()
	ref := rulesHeld.Options(at.task...).Remote(bound, dir, "it")
	after := rulesTaken.Options(at.task...).With(c, ref)
	must(0, noted(c, dir, "it began"))(t)
	cancel()
	for what, r := range map[string]api.Ref[int]{"it": ref, "what takes its result": after} {
		if _, err := r.Get(c); !errors.Is(err, api.ErrCancelled) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s gives %v", what, err)
		}
	}
	must(0, noted(c, dir, "it ended"))(t)
	if c.Err() != nil {
		t.Error("the getter's own context has ended")
	}
}

func ruleUnschedulable(t *testing.T, c context.Context, at place, _ string) {
	var un *api.UnschedulableError
	more := append([]api.TaskOption{api.Resources(map[string]float64{"unobtainium": 1})}, at.task...)
	if _, err := whoFunc.Options(more...).Remote(c).Get(c); !errors.As(err, &un) || !strings.Contains(err.Error(), "unobtainium") {
		t.Errorf("a task gives %v", err)
	}
	a := ruleActor.Options(append([]api.ClassOption{api.Resources(map[string]float64{"unobtainium": 1})}, at.class...)...).Remote(c)
	if err := a.Ready(c); !errors.As(err, &un) || !strings.Contains(err.Error(), "unobtainium") {
		t.Errorf("an actor gives %v", err)
	}
}

var rulesTaken = api.Func1(func(_ context.Context, n int) (int, error) { return n + 1, nil }, api.RegisterAs("rules.taken"))

func ruleTaken(t *testing.T, c context.Context, at place, dir string) {
	ref := rulesTaken.Options(at.task...).With(c, rulesFails.Options(at.task...).Remote(c, "usual", dir))
	var task *api.TaskError
	if _, err := ref.Get(c); !errors.As(err, &task) || !strings.HasSuffix(task.Func, "fails") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it gives %v", err)
	}
}

func ruleGetAll(t *testing.T, c context.Context, at place, dir string) {
	free := append([]api.TaskOption{api.NumCPUs(0)}, at.task...)
	rest := rulesReleased.Options(free...).Remote(c, dir)
	all := []api.Ref[int]{rulesTaken.Options(free...).Remote(c, 1), rulesFails.Options(free...).Remote(c, "usual", dir), rest}
	vs, err := api.GetAll(c, all)
	if vs != nil || !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "1") {
		t.Errorf("GetAll gives %v, %v", vs, err)
	}
	note(dir, "go")
	if v, err := rest.Get(c); v != 7 || err != nil {
		t.Errorf("the rest gives %d, %v", v, err)
	}
}
