package node

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

// workerStart is how long a worker may take to attach.
const workerStart = 10 * time.Second

// duty is what a worker is for.
type duty uint8

const (
	sharedDuty duty = iota // the job's ordinary tasks on this node
	taskDuty               // one OwnProcess task at a time
	actorDuty              // one actor, with which it ends
)

func (d duty) String() string { return [...]string{"shared", "task", "actor"}[d] }

// worker is a process that this node started.
type worker struct {
	num     uint64 // tells it from others when it attaches
	job     *job
	duty    duty
	fn      string        // of a worker with one task or actor
	spawned chan struct{} // closed when pid is set, or the start has failed
	done    chan struct{} // closed when nothing is left of it

	// Guarded by Node.mu.
	pid     int
	reaped  bool // its number may be another's now
	proc    *process
	busy    bool // of taskDuty
	why     string
	waiting []*errand // until it attaches
}

// spawner starts processes from one thread that lives as long as the node: the kernel kills them with it.
type spawner struct {
	ch   chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{make(chan func()), make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread() // no process of it is left then
		defer close(s.done)
		for f := range s.ch {
			f()
		}
	}()
	return s
}

// start runs c.Start on the spawner's thread. It is not called after stop.
func (s *spawner) start(c *exec.Cmd) (err error) {
	done := make(chan struct{})
	s.ch <- func() { err = c.Start(); close(done) }
	<-done
	return err
}

func (s *spawner) stop() {
	close(s.ch)
	<-s.done
}

// newWorkerLocked starts a worker with its first errands.
func (n *Node) newWorkerLocked(j *job, d duty, fn string, first ...*errand) *worker {
	w := &worker{num: rand.Uint64() | 1, job: j, duty: d, fn: fn, spawned: make(chan struct{}), done: make(chan struct{}), waiting: first, busy: d == taskDuty}
	n.workers[w.num] = w
	if !n.spawn(func() { n.runWorker(w) }) {
		delete(n.workers, w.num)
		w.why = "the node is closing"
		close(w.spawned)
		close(w.done)
		n.failWaitingLocked(w, "")
	}
	return w
}

// runWorker is the life of one worker.
func (n *Node) runWorker(w *worker) {
	defer close(w.done)
	cmd, logs, err := n.launch(w)
	close(w.spawned)
	if err != nil {
		n.buryWorker(w, err.Error(), "")
		return
	}
	n.stats.workersStarted.Add(1)
	n.event("worker", "start", w.job.id.String(), int64(cmd.Process.Pid), w.duty.String())
	watch, err := openPidfd(cmd.Process.Pid)
	if err != nil {
		n.endWorker(w, err.Error())
	} else {
		late := time.AfterFunc(workerStart, func() { n.endLate(w) })
		watch.wait()
		late.Stop()
		watch.close()
	}
	n.mu.Lock()
	if err := killGroup(w.pid); err != nil { // what it left behind; its number is its own until Wait
		n.log.Warn("node: worker", "err", err)
	}
	w.reaped = true
	n.mu.Unlock()
	err = cmd.Wait()
	tail := logs.finish()
	why := "exit status 0"
	if err != nil {
		why = err.Error()
	}
	n.buryWorker(w, why, tail)
}

// launch starts a worker's process.
func (n *Node) launch(w *worker) (*exec.Cmd, *workerLogs, error) {
	n.mu.Lock()
	desc, exe, home := w.job.desc, w.job.exe, w.job.driver
	doomed := w.why
	n.mu.Unlock()
	if doomed != "" {
		return nil, nil, fmt.Errorf("node: %s", doomed)
	}
	if exe == nil {
		return nil, nil, fmt.Errorf("node: the executable of job %v is not to be had", desc.Job)
	}
	scratch := filepath.Join(n.state, scratchDir, desc.Job.String())
	if err := os.MkdirAll(scratch, 0o700); err != nil {
		return nil, nil, fmt.Errorf("node: scratch folder: %w", err)
	}
	name := exe.Name()
	if home != nil && home.hello.Exe != "" {
		name = home.hello.Exe
	}
	cmd := &exec.Cmd{Path: exePath(exe), Args: append([]string{name}, desc.Args...), Dir: scratch, Env: n.workerEnv(w, desc.Env)}
	leashed(cmd)
	logs, err := n.openLogs(w, desc)
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout, cmd.Stderr = logs.stdout, logs.stderr
	err = n.spawner.start(cmd)
	logs.stdout.Close()
	logs.stderr.Close()
	if err != nil {
		logs.finish()
		return nil, nil, fmt.Errorf("node: starting a worker of job %v: %w", desc.Job, err)
	}
	n.mu.Lock()
	w.pid = cmd.Process.Pid
	if w.why != "" { // it was to end before it had a number
		killGroup(w.pid)
	}
	n.mu.Unlock()
	logs.begin(cmd.Process.Pid)
	return cmd, logs, nil
}

// workerEnv is a worker's environment; the cluster token is not in it.
func (n *Node) workerEnv(w *worker, job []string) []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		switch {
		case name == "PATH" || name == "HOME" || name == "TZ" || name == "LANG",
			strings.HasPrefix(name, "KADRE_") && !strings.Contains(name, "TOKEN"):
			env = append(env, v)
		}
	}
	env = append(env, job...)
	return append(env, "KADRE_WORKER=1", "KADRE_SOCKET="+n.socket, "KADRE_WORKER_ID="+strconv.FormatUint(w.num, 10), "KADRE_JOB="+w.job.id.String())
}

// endWorker kills a worker, whatever it is doing; its goroutine clears it away.
func (n *Node) endWorker(w *worker, why string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.endWorkerLocked(w, why)
}

func (n *Node) endWorkerLocked(w *worker, why string) {
	if w.why == "" {
		w.why = why
	}
	if w.pid != 0 && !w.reaped {
		if err := killGroup(w.pid); err != nil {
			n.log.Warn("node: worker", "err", err)
		}
	}
}

func (n *Node) endLate(w *worker) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if w.proc == nil {
		n.endWorkerLocked(w, fmt.Sprintf("it did not attach within %v: main must call api.RunWorker or api.Init", workerStart))
	}
}

// buryWorker removes a worker that has ended.
func (n *Node) buryWorker(w *worker, how, tail string) {
	n.mu.Lock()
	delete(n.workers, w.num)
	if w.why == "" {
		w.why = how
	}
	j, p := w.job, w.proc
	if j.shared == w {
		j.shared = nil
	}
	for i, o := range j.idle {
		if o == w {
			j.idle = append(j.idle[:i], j.idle[i+1:]...)
			break
		}
	}
	if w.duty == taskDuty && w.busy {
		n.place.ownBusy--
	}
	n.failWaitingLocked(w, tail)
	why := w.why
	n.mu.Unlock()
	n.event("worker", "end", j.id.String(), int64(w.pid), why)
	n.log.Debug("node: worker ended", "pid", w.pid, "duty", w.duty, "why", why)
	if p != nil {
		n.clear(p, why)
		return
	}
	n.advance()
}

// failWaitingLocked ends the errands of a worker that never took them.
func (n *Node) failWaitingLocked(w *worker, tail string) {
	waiting := w.waiting
	w.waiting = nil
	for _, e := range waiting {
		n.failLocked(e, &wire.ErrorRecord{Class: wire.ErrorWorkerStart, Node: n.id, PID: w.pid, Func: e.spec.Func,
			Text: fmt.Sprintf("node: a worker on node %s did not come up: %s", n.id.Short(), w.why), Stack: tail})
	}
}

// enterWorkerLocked joins an attaching process with the worker it is.
func (n *Node) enterWorkerLocked(p *process) error {
	w := n.workers[p.hello.Worker]
	switch {
	case w == nil || w.proc != nil || w.why != "":
		return fmt.Errorf("node: attach: worker %d is not awaited: only a node starts workers", p.hello.Worker)
	case w.pid != p.pid:
		return fmt.Errorf("node: attach: worker %d is process %d and not %d", p.hello.Worker, w.pid, p.pid)
	}
	w.proc, p.worker, p.job = p, w, w.job.id
	return nil
}

// awaitSpawn waits until the number of a worker that attaches is known.
func (n *Node) awaitSpawn(num uint64) {
	n.mu.Lock()
	w := n.workers[num]
	n.mu.Unlock()
	if w != nil {
		<-w.spawned
	}
}

// startLocked gives an errand whose resources are there to a process of this node, which may have to be
// started first.
func (n *Node) startLocked(e *errand) {
	if n.stopped {
		n.turnAwayLocked(e)
		return
	}
	j := n.jobLocked(e.spec.Job, e.from)
	switch {
	case j == nil:
		n.failLocked(e, &wire.ErrorRecord{Class: wire.ErrorClosed, Node: n.id, Text: "node: the job has ended"})
	case !j.ready:
		if len(j.waiting) >= maxErrands {
			n.failLocked(e, n.refusal("node: %d tasks of job %v wait on node %s already", maxErrands, j.id, n.id.Short()))
			return
		}
		j.waiting = append(j.waiting, e)
	case e.spec.OwnProcess && e.spec.Kind == wire.KindCreate:
		n.newWorkerLocked(j, actorDuty, e.spec.Func, e)
	case e.spec.OwnProcess:
		n.place.own = append(n.place.own, e)
		n.startOwnLocked()
	case j.driver != nil && !j.driver.hello.Isolate:
		n.runLocked(j.driver, e)
	default:
		if j.shared == nil {
			j.shared = n.newWorkerLocked(j, sharedDuty, "")
		}
		n.giveLocked(j.shared, e)
	}
}

// giveLocked sends an errand to a worker, or keeps it until the worker has attached.
func (n *Node) giveLocked(w *worker, e *errand) {
	if w.proc != nil {
		n.runLocked(w.proc, e)
		return
	}
	if len(w.waiting) >= maxErrands {
		n.failLocked(e, n.refusal("node: %d tasks wait for a worker on node %s already", maxErrands, n.id.Short()))
		return
	}
	w.waiting = append(w.waiting, e)
}

// startOwnLocked gives OwnProcess tasks to processes without one, and starts more within the limit.
func (n *Node) startOwnLocked() {
	queue := n.place.own
	n.place.own = nil
	for i, e := range queue {
		if n.place.ownBusy >= n.place.ownLimit {
			n.place.own = append(queue[i:], n.place.own...)
			return
		}
		j := n.jobs[e.spec.Job]
		if j == nil {
			n.failLocked(e, &wire.ErrorRecord{Class: wire.ErrorClosed, Node: n.id, Text: "node: the job has ended"})
			continue
		}
		n.place.ownBusy++
		if k := len(j.idle) - 1; k >= 0 {
			w := j.idle[k]
			j.idle = j.idle[:k]
			w.busy, w.fn = true, e.spec.Func
			n.giveLocked(w, e)
			continue
		}
		n.newWorkerLocked(j, taskDuty, e.spec.Func, e)
	}
}

// workerDoneLocked is called when an errand of a worker has ended.
func (n *Node) workerDoneLocked(w *worker) {
	switch w.duty {
	case actorDuty:
		n.endWorkerLocked(w, "its actor ended")
	case taskDuty:
		if w.busy {
			w.busy = false
			n.place.ownBusy--
			n.place.ownMoved = time.Now()
			w.job.idle = append(w.job.idle, w)
		}
	}
}

// growOwnLocked lets one more OwnProcess task run when none has ended for a while: those that run may wait
// for those that wait.
func (n *Node) growOwnLocked() {
	pl := &n.place
	if len(pl.own) == 0 || pl.ownBusy < pl.ownLimit || pl.ownLimit >= maxOwnProcs || time.Since(pl.ownMoved) < ownGrowth {
		return
	}
	pl.ownLimit++
	pl.ownMoved = time.Now()
	n.startOwnLocked()
}

// runLocked sends an errand to the process that runs it, and tells its owner where it is.
func (n *Node) runLocked(p *process, e *errand) {
	if err := n.send(&wire.Frame{Kind: wire.KRun, From: n.self(), To: p.addr, Left: e.spec.Left, Body: e.raw}); err != nil {
		n.failLocked(e, asRecord(err, wire.ErrorUnavailable))
		return
	}
	if e.asked != nil || e.held {
		if old := p.errands[e.spec.Task]; old != nil {
			n.releaseLocked(old)
		}
		p.errands[e.spec.Task] = e
	}
	if e.asked != nil {
		n.reply(e.asked, wire.Marshal(&wire.Placed{To: p.addr}), nil)
		e.asked = nil
	}
	e.raw, e.spec.Args = nil, nil // what is kept is small
	m := wire.Moved{To: p.addr}
	m.Add(&e.spec)
	n.tell(e.spec.Owner, wire.KMoved, wire.Marshal(&m))
}

// flushWorkerLocked sends a worker that has attached what waited for it.
func (n *Node) flushWorkerLocked(w *worker) {
	waiting := w.waiting
	w.waiting = nil
	for _, e := range waiting {
		n.runLocked(w.proc, e)
	}
}
