package node

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

// workerStart is how long a worker may take to attach.
const workerStart = 10 * time.Second

// killedBy9 is how a process ends that was killed with SIGKILL, as os/exec tells it.
const killedBy9 = "signal: killed"

// maxRestarts bounds the workers of a job that are killed one after the other before one attaches.
const maxRestarts = 5

// maxAsked bounds the requests that wait for one worker.
const maxAsked = 64

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
	logs    *workerLogs
	busy    bool     // of taskDuty
	last    *weighed // when it was looked at last
	capped  int64    // bytes that it may map; 0: as many as it likes
	why     string
	waiting []*errand    // until it attaches
	asked   []wire.Frame // requests that are answered when it attaches or ends
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
	if k := KillStrays(n.socket, strconv.FormatUint(w.num, 10)); k > 0 {
		n.log.Debug("node: killed what a worker had left in sessions of its own", "pid", w.pid, "processes", k)
	}
	why := "exit status 0"
	if err != nil {
		why = err.Error()
	}
	tail := logs.finish(why == endedByGo)
	n.buryWorker(w, why, tail)
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
	itself := w.why == ""
	if itself {
		w.why = n.explainLocked(w, how, tail)
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
	if !itself || how != killedBy9 || !n.restartLocked(w) {
		n.failWaitingLocked(w, tail)
	}
	why := w.why
	n.mu.Unlock()
	n.event("worker", "end", j.id.String(), int64(w.pid), firstLine(why))
	n.log.Debug("node: worker ended", "pid", w.pid, "duty", w.duty, "why", firstLine(why))
	if p != nil {
		n.clear(p, why)
		return
	}
	n.advance()
}

// restartLocked starts another worker in place of one that somebody killed before it attached: that says nothing
// about the program.
func (n *Node) restartLocked(w *worker) bool {
	j := w.job
	if w.proc != nil || n.jobs[j.id] != j || n.stopped || j.restarts >= maxRestarts {
		return false
	}
	j.restarts++
	next := n.newWorkerLocked(j, w.duty, w.fn, w.waiting...)
	next.asked, w.waiting, w.asked = w.asked, nil, nil
	switch w.duty {
	case sharedDuty:
		if j.shared == nil {
			j.shared = next
		}
	case taskDuty:
		n.place.ownBusy++
	}
	return true
}

// failWaitingLocked ends the errands of a worker that never took them.
func (n *Node) failWaitingLocked(w *worker, tail string) {
	waiting, asked := w.waiting, w.asked
	w.waiting, w.asked = nil, nil
	why := func(name string) *wire.ErrorRecord {
		return &wire.ErrorRecord{Class: wire.ErrorWorkerStart, Node: n.id, PID: w.pid, Func: name,
			Text: fmt.Sprintf("node: a worker on node %s did not come up: %s", n.id.Short(), firstLine(w.why)), Stack: tail}
	}
	for _, e := range waiting {
		if !e.cancelled {
			n.failLocked(e, why(e.spec.Func))
		}
	}
	for i := range asked {
		n.reply(&asked[i], nil, why(""))
	}
}

// workerFrame answers a driver that wants to hand tasks to its job's worker of this node directly.
func (n *Node) workerFrame(p *process, f *wire.Frame) error {
	if p == nil || p.worker != nil {
		return fmt.Errorf("node: only drivers of the node have a worker here")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	j := n.jobs[p.job]
	if j == nil || n.stopped || n.draining {
		return &wire.ErrorRecord{Class: wire.ErrorClosed, Node: n.id, Text: "node: the node takes no new work, or the job has ended"}
	}
	if j.shared == nil {
		j.shared = n.newWorkerLocked(j, sharedDuty, "")
	}
	if w := j.shared; w.proc != nil {
		n.reply(f, wire.Marshal(&wire.Placed{To: w.proc.addr}), nil)
	} else if len(w.asked) < maxAsked {
		w.asked = append(w.asked, *f.Head())
	} else {
		return fmt.Errorf("node: %d requests wait for the worker already", maxAsked)
	}
	return nil
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
	n.weighSoon()
	w.job.restarts = 0
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
