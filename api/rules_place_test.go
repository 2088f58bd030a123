package api_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// Rules of what a task finds around itself, wherever it runs.

// setByInit is what a package variable is that init has set.
var setByInit string

// startedAs is 1 in workers, from their start on; what they start is none.
var startedAs = os.Getenv("KADRE_WORKER")

func init() { setByInit = "by init" }

// ruleLogs is the handler of all processes of these tests; it keeps the lines of a rule.
type ruleLogs struct {
	slog.Handler
	attrs []slog.Attr
}

var ruleLines struct {
	sync.Mutex
	buf bytes.Buffer
}

func (h *ruleLogs) WithAttrs(as []slog.Attr) slog.Handler {
	return &ruleLogs{h.Handler.WithAttrs(as), slices.Concat(h.attrs, as)}
}

func (h *ruleLogs) Handle(c context.Context, r slog.Record) error {
	if r.Message != "of a rule" {
		return h.Handler.Handle(c, r)
	}
	ruleLines.Lock()
	defer ruleLines.Unlock()
	return slog.NewTextHandler(&ruleLines.buf, nil).WithAttrs(h.attrs).Handle(c, r)
}

func init() { slog.SetDefault(slog.New(&ruleLogs{Handler: slog.NewTextHandler(os.Stderr, nil)})) }

// Found is what a task finds around itself.
type Found struct {
	Info              api.Info
	Init, Log, Worker string
	Stdin, Dir        string
	Args, Env         []string
	Nodes             []api.NodeInfo
	All, Available    map[string]float64
}

func find(ctx context.Context, _ int) (f Found, err error) {
	f.Info, _ = api.FromContext(ctx)
	f.Init, f.Worker, f.Args, f.Env = setByInit, startedAs, os.Args[1:], os.Environ()
	if f.Dir, err = os.Getwd(); err != nil {
		return f, err
	}
	if startedAs == "1" {
		in, err := io.ReadAll(os.Stdin)
		if err != nil {
			return f, err
		}
		f.Stdin = string(in)
	}
	api.Log(ctx).Info("of a rule")
	ruleLines.Lock()
	f.Log = ruleLines.buf.String()
	ruleLines.buf.Reset()
	ruleLines.Unlock()
	if f.Nodes, err = api.Nodes(ctx); err != nil {
		return f, err
	}
	if f.All, err = api.ClusterResources(ctx); err != nil {
		return f, err
	}
	f.Available, err = api.AvailableResources(ctx)
	return f, err
}

var (
	rulesFind  = api.Func1(find)
	placeRules = []rule{
		{"what init set is there", ruleInit},
		{"api.Log has job, task, node and attempt", ruleLog},
		{"Nodes and resources tell of the cluster, wherever they are asked", ruleNodes},
		{"workers get the driver's arguments, an environment that is named, no input, and a folder of the job", ruleWorkers},
		{"an actor's calls know the actor and its node", ruleActorInfo},
	}
)

func ruleInit(t *testing.T, c context.Context, at place, _ string) {
	setByInit = "by the driver"
	defer func() { setByInit = "by init" }()
	f := must(rulesFind.Options(at.own()...).Remote(c, 0).Get(c))(t)
	if f.Init != "by init" || f.Info.PID == os.Getpid() {
		t.Errorf("the variable is %q in process %d", f.Init, f.Info.PID)
	}
}

func ruleLog(t *testing.T, c context.Context, at place, _ string) {
	f := must(rulesFind.Options(at.task...).Remote(c, 0).Get(c))(t)
	for _, want := range []string{"job=" + string(f.Info.Job), "task=" + string(f.Info.Task), "node=" + string(f.Info.Node), "attempt=0"} {
		if !strings.Contains(f.Log, want) {
			t.Errorf("%q has no %s", f.Log, want)
		}
	}
	if strings.Contains(f.Log, "actor=") {
		t.Errorf("%q has an actor", f.Log)
	}
}

func ruleNodes(t *testing.T, c context.Context, at place, _ string) {
	holds := append([]api.TaskOption{api.Resources(map[string]float64{lathe: 1})}, at.task...)
	f := must(rulesFind.Options(holds...).Remote(c, 0).Get(c))(t)
	nodes := must(api.Nodes(c))(t)
	n := float64(len(nodes))
	if len(f.Nodes) != len(nodes) || at.node != "" && n != 2 {
		t.Errorf("the task finds %d nodes, the driver %d", len(f.Nodes), len(nodes))
	}
	for _, x := range nodes {
		same := func(y api.NodeInfo) bool {
			return y.ID == x.ID && y.PID == x.PID && maps.Equal(x.Resources, y.Resources)
		}
		if !slices.ContainsFunc(f.Nodes, same) || x.Resources["CPU"] != 4 || x.Resources[lathe] != 1 || x.Labels["rule"] != "yes" {
			t.Errorf("node %+v is not among %+v", x, f.Nodes)
		}
	}
	if f.All["CPU"] != 4*n || f.All[lathe] != n {
		t.Errorf("the cluster has %v", f.All)
	}
	if at.node == "" && f.Available[lathe] != n-1 { // what others have free may be told a moment later
		t.Errorf("%v is free while the task holds 1 of %v", f.Available[lathe], n)
	}
}

func ruleWorkers(t *testing.T, c context.Context, at place, _ string) {
	f := must(rulesFind.Options(at.own()...).Remote(c, 0).Get(c))(t)
	if f.Stdin != "" {
		t.Errorf("it reads %q", f.Stdin)
	}
	if f.Worker != "1" || !slices.Equal(f.Args, os.Args[1:]) || !slices.Contains(f.Env, "RULE_KEPT=yes") {
		t.Errorf("it was started as %q, with arguments %q and the environment %q", f.Worker, f.Args, f.Env)
	}
	for _, v := range f.Env {
		name, _, _ := strings.Cut(v, "=")
		if !slices.Contains([]string{"PATH", "HOME", "TZ", "LANG", "RULE_KEPT"}, name) && !strings.HasPrefix(name, "KADRE_") {
			t.Errorf("it has %s", v)
		}
	}
	if here := must(os.Getwd())(t); f.Dir == here || filepath.Base(f.Dir) != string(f.Info.Job) {
		t.Errorf("it runs in %s", f.Dir)
	}
	if entries, err := os.ReadDir(f.Dir); err != nil || len(entries) > 0 {
		t.Errorf("its folder has %v (%v)", entries, err)
	}
}

func ruleActorInfo(t *testing.T, c context.Context, at place, dir string) {
	note(dir, "go")
	a := ruleMortal.Options(at.class...).Remote(c, dir)
	i := must(mortalLive.Remote(c, a).Get(c))(t)
	if i.Actor != a.ID() || i.Task == "" || i.Job == "" || at.node != "" && i.Node != at.node {
		t.Errorf("%+v", i)
	}
	must(0, a.Kill(c))(t)
}
