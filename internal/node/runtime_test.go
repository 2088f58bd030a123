package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

func ls(t *testing.T, dir string) (names []string) {
	t.Helper()
	e, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range e {
		names = append(names, e.Name())
	}
	return names
}

func TestNothingIsLeft(t *testing.T) {
	dir := testDir(t)
	n := startNode(t, private(dir))
	f := driver(t, n, wire.Hello{}, nil)
	if got := ls(t, filepath.Join(dir, "default")); len(got) != 4 { // .lock, .json, .sock, .state
		t.Errorf("while it runs: %v", got)
	}
	f.leave(true)
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ls(t, filepath.Join(dir, "default")); len(got) != 0 {
		t.Errorf("afterwards: %v", got)
	}
}

func TestSweepAfterKill(t *testing.T) {
	dir := testDir(t)
	state := filepath.Join(dir, "state")
	for _, env := range [][]string{{"NODE_TEST_NODE=" + dir}, {"NODE_TEST_NODE=" + dir, "NODE_TEST_STATE=" + state}} {
		cmd, line, _ := child(t, env...)
		var s Status
		if err := json.Unmarshal([]byte(line), &s); err != nil {
			t.Fatal(err)
		}
		found, err := findNode(dir, "default")
		if want := map[bool]string{true: "", false: s.Socket}[len(env) == 1]; err != nil || found != want {
			t.Errorf("found %q, %v; want %q", found, err, want)
		}
		if got := ls(t, filepath.Join(dir, "default")); len(got) < 3 {
			t.Errorf("while it runs: %v", got)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if found, err := findNode(dir, "default"); err != nil || found != "" {
			t.Errorf("after its death found %q, %v", found, err)
		}
		for _, name := range ls(t, filepath.Join(dir, "default")) {
			if !strings.HasSuffix(name, ".peer") && !strings.HasSuffix(name, ".lane") { // those are the network's
				t.Errorf("left: %s", name)
			}
		}
	}
	if got := ls(t, filepath.Join(state, scratchDir)); len(got) != 0 {
		t.Errorf("scratch folder: %v", got)
	}
}

func TestFindsTheOldest(t *testing.T) {
	dir := testDir(t)
	if s, err := findNode(dir, "none"); s != "" || err != nil {
		t.Fatalf("%q, %v", s, err)
	}
	ns := network(t, dir, Config{}, Config{}, Config{})
	startNode(t, private(dir))
	for i, n := range ns {
		if s, err := findNode(dir, "default"); err != nil || s != n.Socket() {
			t.Errorf("with %d nodes gone: %q, %v, want %q", i, s, err, n.Socket())
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	}
	if s, err := findNode(dir, "default"); s != "" || err != nil {
		t.Errorf("%q, %v", s, err)
	}
}

func TestStartErrors(t *testing.T) {
	dir := testDir(t)
	open := filepath.Join(dir, "open")
	os.Mkdir(open, 0o755)
	link := filepath.Join(dir, "link")
	os.Symlink(open, link)
	running := startNode(t, Config{RuntimeDir: filepath.Join(dir, "r"), StateDir: filepath.Join(dir, "s"), ObjectStoreMemory: 16 << 20, Logger: quiet})
	for want, c := range map[string]Config{
		"cluster name":                  {Cluster: "a/b"},
		"CPUs":                          {CPUs: -1},
		"bytes":                         {ObjectStoreMemory: -1},
		"with --spill-dir":              {SpillDir: filepath.Join(dir, "none")},
		"metrics":                       {Metrics: "127.0.0.1"},
		"private node":                  {Private: true, Join: []string{"x:1"}},
		"resource":                      {Resources: map[string]float64{"CPU": 1}},
		"can be entered by others":      {RuntimeDir: open},
		"is not a folder":               {RuntimeDir: link},
		"at most 107":                   {Private: true, RuntimeDir: filepath.Join(dir, strings.Repeat("x", 90))},
		"in use by a running node":      {StateDir: filepath.Join(dir, "s")},
		"listens on the socket":         {Private: true, Socket: running.Socket()},
		"does not exist":                {TokenFile: filepath.Join(dir, "none")},
		"needs a cluster token":         {Listen: []string{"0.0.0.0:0"}},
		"connection refused":            {Join: []string{"127.0.0.1:1"}},
		"want host:port or a multiaddr": {Listen: []string{"nonsense"}},
	} {
		if c.RuntimeDir == "" {
			c.RuntimeDir = filepath.Join(dir, "r")
		}
		if c.StateDir == "" && !c.Private {
			c.StateDir = filepath.Join(dir, "s2")
		}
		c.ObjectStoreMemory = max(c.ObjectStoreMemory, min(c.ObjectStoreMemory, 16<<20))
		c.Logger = quiet
		n, err := Start(context.Background(), c)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error with %q, got %v", want, err)
		}
		if n != nil {
			t.Errorf("%s: a node came with the error", want)
		}
	}
	for _, name := range ls(t, filepath.Join(dir, "r", "default")) {
		if !strings.HasPrefix(name, running.id.Short()) {
			t.Errorf("left: %s", name)
		}
	}
}

func TestStateFolders(t *testing.T) {
	dir := testDir(t)
	t.Setenv("XDG_STATE_HOME", dir)
	var locks []*os.File
	for i := range 3 {
		d, l, err := openState(Config{Cluster: "c"})
		if err != nil || d != filepath.Join(dir, "kadre", "c", fmt.Sprintf("node-%d", i)) {
			t.Fatal(d, err)
		}
		locks = append(locks, l)
	}
	locks[1].Close()
	d, l, err := openState(Config{Cluster: "c"})
	if err != nil || filepath.Base(d) != "node-1" {
		t.Fatal(d, err)
	}
	for _, l := range []*os.File{locks[0], l, locks[2]} {
		l.Close()
	}
	exes := filepath.Join(d, exeDir)
	os.MkdirAll(exes, 0o700)
	for i := range keptExes + 5 {
		name := filepath.Join(exes, fmt.Sprint(i))
		os.WriteFile(name, nil, 0o600)
		os.Chtimes(name, time.Time{}, time.Unix(int64(1000+i), 0))
	}
	os.WriteFile(filepath.Join(exes, "x.tmp"), nil, 0o600)
	if err := prepareState(d); err != nil {
		t.Fatal(err)
	}
	if got := ls(t, exes); len(got) != keptExes || got[0] != "10" {
		t.Errorf("kept %v", got)
	}
}

func TestRoutingBetweenNodes(t *testing.T) {
	ns := network(t, testDir(t), Config{Labels: map[string]string{"zone": "x"}}, Config{Resources: map[string]float64{"gpu": 2}})
	a := driver(t, ns[0], wire.Hello{}, nil)
	defer a.leave(true)
	b := driver(t, ns[1], wire.Hello{}, func(f *fake, fr *wire.Frame) {
		r := fr.Reply(append([]byte(fmt.Sprint(fr.Epoch, " ")), fr.Body...))
		f.link.SendFrame(&r)
	})
	got, err := a.ask(b.self, wire.KBorrow, []byte("x"))
	if want := fmt.Sprint(ns[0].Epoch(), " x"); err != nil || string(got) != want {
		t.Fatalf("%q, %v", got, err)
	}
	b.leave(true)
	var d wire.Dead
	fr := a.next(t, wire.KDead)
	if err := wire.Unmarshal(fr.Body, &d); err != nil || len(d.Addrs) != 1 || d.Addrs[0] != b.self {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := a.ask(b.self, wire.KBorrow, nil); err == nil {
		t.Fatal("a process that has gone answered")
	}
	body, err := a.ask(ns[0].self(), wire.KNodes, nil)
	var nodes wire.Nodes
	if err != nil || wire.Unmarshal(body, &nodes) != nil || len(nodes.Nodes) != 2 || nodes.Nodes[1].Resources["gpu"] != 2 || nodes.Nodes[0].Labels["zone"] != "x" {
		t.Fatalf("%+v, %v", nodes, err)
	}
	ns[1].Close()
	for {
		fr := a.next(t, wire.KDead)
		if wire.Unmarshal(fr.Body, &d) == nil && d.Addrs[0] == (id.Addr{Node: ns[1].ID()}) {
			break
		}
	}
}

func TestFreeIsForwarded(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	a, b := driver(t, ns[0], wire.Hello{}, nil), driver(t, ns[1], wire.Hello{}, nil)
	defer a.leave(true)
	defer b.leave(true)
	o := id.Task{9}.Object(0)
	w, err := a.arena.Create(o, 1<<20, a.job, 0)
	if err != nil {
		t.Fatal(err)
	}
	copy(w.Bytes(), "the bytes")
	if _, err := w.Seal(false); err != nil {
		t.Fatal(err)
	}
	info := wire.ObjectInfo{ID: o, Owner: a.self, State: wire.ObjectReady, Stored: true, Size: 1 << 20, Holders: []id.Node{ns[0].ID()}, Job: a.job}
	if _, err := b.ask(ns[1].self(), wire.KPull, wire.Marshal(&info)); err != nil {
		t.Fatal(err)
	}
	h, ok := b.arena.Get(o)
	if !ok || string(h.Bytes()[:9]) != "the bytes" {
		t.Fatal("the object did not come whole")
	}
	h.Release()
	var c wire.Copied
	if fr := a.next(t, wire.KCopied); wire.Unmarshal(fr.Body, &c) != nil || c.Node != ns[1].ID() || c.ID != o {
		t.Fatalf("%+v", c)
	}
	until(t, "the record of the copy", func() bool {
		body, err := a.ask(ns[0].self(), wire.KLocate, wire.Marshal(&wire.ObjectInfo{ID: o, Owner: a.self}))
		var got wire.ObjectInfo
		return err == nil && wire.Unmarshal(body, &got) == nil && len(got.Holders) == 1 && got.Holders[0] == ns[1].ID()
	})
	a.send(ns[0].self(), wire.KFree, wire.Marshal(&wire.Free{IDs: []id.Object{o}, Nodes: []id.Node{ns[0].ID(), ns[1].ID()}}))
	until(t, "all copies to go", func() bool { a, b := ns[0].arena.Audit(), ns[1].arena.Audit(); return a.Empty() && b.Empty() })
}

func TestJobEndReachesAllNodes(t *testing.T) {
	ns := network(t, testDir(t), Config{}, Config{})
	a, b := driver(t, ns[0], wire.Hello{}, nil), driver(t, ns[1], wire.Hello{}, nil)
	defer b.leave(true)
	w, err := b.arena.Create(id.Task{3}.Object(0), 1000, a.job, 0) // a result of a's job made elsewhere
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Seal(false); err != nil {
		t.Fatal(err)
	}
	a.leave(true)
	until(t, "the job's objects to go", func() bool { a := ns[1].arena.Audit(); return a.Empty() })
}
