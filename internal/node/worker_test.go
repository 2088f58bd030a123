package node

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// TestLastWordsArrive: what a process sent before it died is delivered, and before the news of its death.
func TestLastWordsArrive(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	g := driver(t, n, wire.Hello{}, nil)
	const words = 200
	for i := range words {
		if err := g.send(f.self, wire.KBorrow, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	g.leave(false)
	for i := range words {
		if fr := f.next(t, wire.KBorrow); fr.Body[0] != byte(i) {
			t.Fatalf("frame %d: %v", i, fr.Body)
		}
	}
	if len(f.passed) > 0 {
		t.Errorf("came before them: %v", f.passed)
	}
	f.next(t, wire.KDead)
}

// isolated is a driver whose tasks all go to workers.
func isolated(t *testing.T, n *Node, env ...string) *fake {
	t.Helper()
	f := driver(t, n, wire.Hello{Exe: os.Args[0], Isolate: true, LogToDriver: true, Env: append(env, "GIVEN=yes")}, nil)
	t.Cleanup(func() { f.leave(true) })
	return f
}

// place asks for s to be run and gives where it went.
func (f *fake) place(s wire.Spec) (id.Addr, error) {
	b, err := f.ask(id.Addr{Node: f.self.Node}, wire.KPlace, s.Append(nil))
	if err != nil {
		return id.Addr{}, err
	}
	var p wire.Placed
	return p.To, wire.Unmarshal(b, &p)
}

func (f *fake) result(t *testing.T) wire.Result {
	t.Helper()
	var r wire.Result
	fr := f.next(t, wire.KResult)
	if err := wire.Unmarshal(fr.Body, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// run places s and gives its result.
func (f *fake) run(t *testing.T, s wire.Spec) string {
	t.Helper()
	if _, err := f.place(s); err != nil {
		t.Fatal(explain(err))
	}
	r := f.result(t)
	if r.Err != nil || r.Task != s.Task {
		t.Fatalf("%s: %+v", s.Func, r)
	}
	return string(r.Inline)
}

func own(s *wire.Spec)   { s.OwnProcess = true }
func actor(s *wire.Spec) { s.Kind = wire.KindCreate }

func alive(pid int) bool { return syscall.Kill(pid, 0) == nil }

func TestDriverRunsWhatIsPlaced(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil)
	defer f.leave(true)
	s := f.spec("x", func(s *wire.Spec) { s.OnNode = n.ID() })
	to, err := f.place(s)
	if err != nil || to != f.self {
		t.Fatalf("%v, %v", to, err)
	}
	fr := f.next(t, wire.KRun)
	if got, err := wire.ParseSpec(fr.Body); err != nil || got.Task != s.Task {
		t.Fatal(got, err)
	}
	var m wire.Moved
	fr = f.next(t, wire.KMoved)
	if err := wire.Unmarshal(fr.Body, &m); err != nil || m.To != f.self || m.Tasks[0] != s.Task {
		t.Fatal(m, err)
	}
}

func TestSharedWorker(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n)
	pid := f.run(t, f.spec("pid"))
	if again := f.run(t, f.spec("pid")); again != pid || pid == strconv.Itoa(os.Getpid()) {
		t.Errorf("ran in %s and %s", pid, again)
	}
	if d := f.run(t, f.spec("dir")); d != filepath.Join(n.state, scratchDir, f.job.String()) {
		t.Errorf("runs in %s", d)
	}
	env := f.run(t, f.spec("env"))
	for _, want := range []string{"GIVEN=yes", "KADRE_WORKER=1", "KADRE_JOB=" + f.job.String(), "KADRE_SOCKET=" + n.Socket(), "PATH="} {
		if !strings.Contains(env, want) {
			t.Errorf("environment lacks %s: %s", want, env)
		}
	}
	s := n.Status()
	if len(s.Workers) != 1 || strconv.Itoa(s.Workers[0].PID) != pid || s.Workers[0].Kind != "shared" {
		t.Errorf("workers %+v", s.Workers)
	}
}

func TestWorkerSeesNoToken(t *testing.T) {
	t.Setenv("KADRE_TOKEN_FILE", "/secret")
	t.Setenv("KADRE_X", "shown")
	t.Setenv("SOMETHING", "else")
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n)
	env := f.run(t, f.spec("env"))
	if strings.Contains(env, "/secret") || strings.Contains(env, "SOMETHING") || !strings.Contains(env, "KADRE_X=shown") {
		t.Errorf("environment %s", env)
	}
}

func TestWorkerDies(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n)
	to, err := f.place(f.spec("die"))
	if err != nil {
		t.Fatal(err)
	}
	var d wire.Dead
	fr := f.next(t, wire.KDead)
	if err := wire.Unmarshal(fr.Body, &d); err != nil || d.Addrs[0] != to || !strings.Contains(d.Why, "exit status 3") {
		t.Fatalf("%+v, %v", d, err)
	}
	f.run(t, f.spec("pid")) // a new worker
	if a := n.arena.Audit(); len(a.Clients) != 2 {
		t.Errorf("clients %v", a.Clients)
	}
}

func TestWorkersChildrenEndWithIt(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n)
	worker, err := strconv.Atoi(f.run(t, f.spec("pid")))
	if err != nil {
		t.Fatal(err)
	}
	grandchild, err := strconv.Atoi(f.run(t, f.spec("child")))
	if err != nil {
		t.Fatal(err)
	}
	syscall.Kill(worker, syscall.SIGKILL)
	until(t, "the worker's child to end", func() bool { return !running(grandchild) })
}

// running says whether a process is there and no zombie, which an orphan may stay where nobody reaps it.
func running(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestWorkerNeverAttaches(t *testing.T) {
	if testing.Short() {
		t.Skip("takes 10 s")
	}
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n, "NODE_TEST_WORKER=never")
	before := time.Now()
	_, err := f.place(f.spec("pid"))
	var rec *wire.ErrorRecord
	if !errors.As(err, &rec) || rec.Class != wire.ErrorWorkerStart || !strings.Contains(rec.Stack, "this worker will not attach") || !strings.Contains(rec.Text, "RunWorker") {
		t.Fatalf("after %v: %+v", time.Since(before), err)
	}
	if len(n.Status().Workers) != 0 {
		t.Error("the worker is still there")
	}
}

func TestOwnProcesses(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n)
	shared, one := f.run(t, f.spec("pid")), f.run(t, f.spec("pid", own))
	until(t, "the task to be done", func() bool { w := n.Status().Workers; return w[0].Placed+w[1].Placed == 0 })
	if two := f.run(t, f.spec("pid", own)); two != one || one == shared {
		t.Errorf("ran in %s, %s and %s", shared, one, two)
	}
	// More at a time than there are CPUs come through as well: they may wait for each other.
	for range 3 {
		if _, err := f.place(f.spec("hold", own)); err != nil {
			t.Fatal(err)
		}
	}
	to, err := f.place(f.spec("hold", own, actor))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, w := range n.Status().Workers {
		kinds[w.Kind]++
	}
	if kinds["task"] != 3 || kinds["actor"] != 1 || kinds["shared"] != 1 {
		t.Errorf("workers %v", kinds)
	}
	f.run(t, f.spec("pid", own, actor)) // it reports its end at once
	until(t, "the ended actor's process to go", func() bool { return len(n.Status().Workers) == 5 })
	if _, ok := (*n.procs.Load())[to.Proc]; !ok {
		t.Error("the other actor's process went")
	}
}

func TestWorkerOutput(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := isolated(t, n)
	f.run(t, f.spec("say", own))
	got := map[string]wire.LogLine{}
	for len(got) < 2 {
		var l wire.LogLine
		fr := f.next(t, wire.KLog)
		if err := wire.Unmarshal(fr.Body, &l); err != nil {
			t.Fatal(err)
		}
		got[l.Line] = l
	}
	if l := got["hello from a worker"]; l.Func != "say" || l.PID == 0 || l.Node != n.ID() || l.Job != f.job {
		t.Errorf("%+v", l)
	}
	files := ls(t, filepath.Join(n.state, logDir))
	if len(files) != 1 || !strings.HasPrefix(files[0], f.job.String()+"-") {
		t.Fatalf("logs %v", files)
	}
	until(t, "the log", func() bool {
		b, _ := os.ReadFile(filepath.Join(n.state, logDir, files[0]))
		return strings.Contains(string(b), "hello from a worker\n") && strings.Contains(string(b), "and an error\n")
	})
}

func TestJobEndKillsWorkers(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{Exe: os.Args[0], Isolate: true}, nil)
	pid, _ := strconv.Atoi(f.run(t, f.spec("pid")))
	f.run(t, f.spec("pid", own))
	f.leave(true)
	if alive(pid) {
		t.Error("the worker is alive after its driver's farewell was answered")
	}
	if s := n.Status(); len(s.Workers) != 0 {
		t.Errorf("workers %+v", s.Workers)
	}
	if got := ls(t, filepath.Join(n.state, scratchDir)); len(got) != 0 {
		t.Errorf("scratch folders %v", got)
	}
}

func TestLogsAreBounded(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	w := &worker{job: &job{id: id.NewJob()}}
	l, err := n.openLogs(w, wire.Job{Home: n.id})
	if err != nil {
		t.Fatal(err)
	}
	l.begin(4711)
	line := strings.Repeat("x", 1000) + "\n"
	for range maxLogFile/len(line) + 1000 {
		if _, err := l.stderr.WriteString(line); err != nil {
			t.Fatal(err)
		}
	}
	l.stderr.WriteString(strings.Repeat("y", 3*maxLine) + "\xff")
	l.stdout.Close()
	l.stderr.Close()
	if tail := l.finish(false); len(tail) != tailSize || !strings.HasSuffix(tail, "yyy?") {
		t.Errorf("tail of %d bytes ends in %q", len(tail), tail[max(0, len(tail)-8):])
	}
	for _, name := range []string{l.path, l.path + ".1"} {
		if s, err := os.Stat(name); err != nil || s.Size() > maxLogFile || s.Size() == 0 {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if n.stats.linesDropped.Load() == 0 {
		t.Error("no line was dropped")
	}
}
