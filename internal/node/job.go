package node

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	learnTime    = 5 * time.Minute // to learn of a job and fetch its executable
	rememberEnds = 4096            // jobs that are known to have ended
	sweepEnded   = 30 * time.Second
)

// job is one driver's run, as this node knows it.
type job struct {
	id  id.Job
	exe *os.File // what its workers run; nil while it is being learned of

	hashing sync.Mutex // one goroutine hashes exe

	// Guarded by Node.mu.
	desc    wire.Job
	driver  *process // nil when attached elsewhere
	ready   bool     // desc and exe are there
	waiting []*errand
	shared  *worker
	idle    []*worker // of OwnProcess tasks, with nothing to do

	restarts int // workers that were killed before they attached, since one did
}

// endedJobs remembers the jobs that ended last, so that what comes late for them is dropped.
type endedJobs struct {
	at    map[id.Job]time.Time
	order []id.Job
}

func (e *endedJobs) add(j id.Job) {
	if e.at == nil {
		e.at = map[id.Job]time.Time{}
	}
	if _, ok := e.at[j]; ok {
		return
	}
	if len(e.order) == rememberEnds {
		delete(e.at, e.order[0])
		e.order = e.order[1:]
	}
	e.at[j] = time.Now()
	e.order = append(e.order, j)
}

func (e *endedJobs) has(j id.Job) bool { _, ok := e.at[j]; return ok }

// enterDriverLocked makes the job of a driver that attaches.
func (n *Node) enterDriverLocked(p *process) error {
	if n.jobs[p.job] != nil || n.ended.has(p.job) || p.job == (id.Job{}) {
		return fmt.Errorf("node: attach: job %v is taken: draw a new one for each start", p.job)
	}
	exe, err := openExe(p.pid)
	if err != nil { // the driver itself can work; its workers cannot start
		n.log.Warn("node: this job cannot have workers", "job", p.job, "err", err)
	}
	j := &job{id: p.job, exe: exe, driver: p, ready: true, desc: wire.Job{Job: p.job, Driver: p.addr, Home: n.id,
		Args: p.hello.Args, Env: p.hello.Env, OS: runtime.GOOS, Arch: runtime.GOARCH}}
	n.jobs[p.job] = j
	n.event("job", "start", p.addr.String(), 0, p.job.String())
	return nil
}

func (n *Node) jobOf(j id.Job) wire.Job {
	n.mu.Lock()
	defer n.mu.Unlock()
	if k := n.jobs[j]; k != nil {
		return k.desc
	}
	return wire.Job{Job: j}
}

// jobLocked gives a job; one that is not known yet is asked of from.
func (n *Node) jobLocked(name id.Job, from id.Node) *job {
	if j := n.jobs[name]; j != nil || n.ended.has(name) {
		return j
	}
	j := &job{id: name}
	n.jobs[name] = j
	if !n.spawn(func() { n.learn(j, from) }) {
		delete(n.jobs, name)
		return nil
	}
	return j
}

// learn finds out what a job is and gets its executable; then what waits for it starts.
func (n *Node) learn(j *job, from id.Node) {
	ctx, cancel := context.WithTimeout(n.ctx, learnTime)
	defer cancel()
	desc, exe, err := n.describeJob(ctx, j.id, from)
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.jobs[j.id] != j { // it ended meanwhile
		if exe != nil {
			exe.Close()
		}
		return
	}
	waiting := j.waiting
	j.waiting = nil
	if err != nil {
		delete(n.jobs, j.id)
		n.log.Warn("node: cannot run a job", "job", j.id, "from", from.Short(), "err", err)
		for _, e := range waiting {
			n.failLocked(e, asRecord(fmt.Errorf("node: node %s cannot run job %v: %w", n.id.Short(), j.id, err), wire.ErrorWorkerStart))
		}
		return
	}
	j.desc, j.exe, j.ready = desc, exe, true
	n.event("job", "learned", desc.Home.Short(), desc.Size, j.id.String())
	n.togetherLocked(func() {
		for _, e := range waiting {
			n.startLocked(e)
		}
	})
	n.advanceLocked()
}

func (n *Node) describeJob(ctx context.Context, name id.Job, from id.Node) (d wire.Job, exe *os.File, err error) {
	body, err := n.ask(ctx, id.Addr{Node: from}, wire.KJob, wire.Marshal(&wire.JobQuery{Job: name}))
	if err != nil {
		return d, nil, err
	}
	if err := wire.Unmarshal(body, &d); err != nil {
		return d, nil, err
	}
	if d.Job != name || d.Home == "" || d.Home == n.id {
		return d, nil, fmt.Errorf("node: node %s does not describe job %v rightly", from.Short(), name)
	}
	if d.OS != runtime.GOOS || d.Arch != runtime.GOARCH {
		return d, nil, &wire.ErrorRecord{Class: wire.ErrorUnschedulable, Node: n.id, Text: fmt.Sprintf(
			"node: the job's executable is for %s/%s and node %s is %s/%s", d.OS, d.Arch, n.id.Short(), runtime.GOOS, runtime.GOARCH)}
	}
	exe, err = n.fetchExe(ctx, &d)
	return d, exe, err
}

// jobFrame tells another node of a job.
func (n *Node) jobFrame(f *wire.Frame) error {
	var q wire.JobQuery
	if err := wire.Unmarshal(f.Body, &q); err != nil {
		return err
	}
	return n.later(f, func(context.Context, *wire.Frame) ([]byte, error) {
		n.mu.Lock()
		j := n.jobs[q.Job]
		known := j != nil && j.ready && j.exe != nil
		n.mu.Unlock()
		if j != nil && j.ready && j.exe == nil {
			return nil, fmt.Errorf("node: node %s cannot read the executable of job %v", n.id.Short(), q.Job)
		}
		if !known {
			return nil, &wire.ErrorRecord{Class: wire.ErrorClosed, Node: n.id, Text: fmt.Sprintf("node: node %s knows no job %v: it has ended", n.id.Short(), q.Job)}
		}
		if err := n.hashExe(j); err != nil {
			return nil, err
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		return wire.Marshal(&j.desc), nil
	})
}

// hashExe names the executable of a job that leaves its home for the first time.
func (n *Node) hashExe(j *job) error {
	j.hashing.Lock()
	defer j.hashing.Unlock()
	n.mu.Lock()
	done := j.desc.SHA256 != [32]byte{}
	n.mu.Unlock()
	if done {
		return nil
	}
	s, err := j.exe.Stat()
	if err != nil {
		return fmt.Errorf("node: executable of job %v: %w", j.id, err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(j.exe, 0, s.Size())); err != nil {
		return fmt.Errorf("node: executable of job %v: %w", j.id, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	j.desc.Size = s.Size()
	h.Sum(j.desc.SHA256[:0])
	return nil
}

// jobEndFrame takes the news that a job has ended: from its own driver, or from the driver's node.
func (n *Node) jobEndFrame(p *process, f *wire.Frame) error {
	var q wire.JobQuery
	if err := wire.Unmarshal(f.Body, &q); err != nil {
		return err
	}
	n.mu.Lock()
	j := n.jobs[q.Job]
	ours := j != nil && (p != nil && j.driver == p || p == nil && j.ready && j.desc.Home == f.From.Node)
	n.mu.Unlock()
	if j != nil && j.ready && !ours {
		return fmt.Errorf("node: job %v is not %v's to end", q.Job, f.From)
	}
	return n.later(f, func(context.Context, *wire.Frame) ([]byte, error) { n.endJob(q.Job, p != nil); return nil, nil })
}

// endJob clears away everything of a job on this node, and with tell on all others: what waits is dropped,
// workers are killed and waited for, then its objects, records and folders go.
func (n *Node) endJob(name id.Job, tell bool) {
	n.mu.Lock()
	j := n.jobs[name]
	delete(n.jobs, name)
	n.ended.add(name)
	drop := func(e *errand) bool {
		if e.spec.Job != name {
			return false
		}
		n.failLocked(e, &wire.ErrorRecord{Class: wire.ErrorClosed, Node: n.id, Text: "node: the job has ended"})
		return true
	}
	if j != nil {
		for _, e := range j.waiting {
			drop(e)
		}
	}
	n.dropWaitingLocked(drop)
	n.removeGroupsLocked(func(g *group) bool { return g.errand.spec.Job == name }, "its job has ended")
	n.advanceLocked()
	var workers []*worker
	var recorders []*process
	for _, w := range n.workers {
		if w.job.id == name {
			workers = append(workers, w)
			if w.proc != nil {
				recorders = append(recorders, w.proc)
			}
		}
	}
	n.mu.Unlock()
	if j != nil {
		n.keepTapes(j.desc.Env, recorders...)
	}
	for _, w := range workers {
		n.endWorker(w, "its job ended")
	}
	for _, w := range workers {
		<-w.done
	}
	n.store.FreeJob(name)
	n.arena.DeleteJob(name)
	os.RemoveAll(filepath.Join(n.state, scratchDir, name.String()))
	if j != nil && j.exe != nil {
		j.exe.Close()
	}
	if j != nil {
		n.events.Add(trace.Event{Layer: "job", Kind: "end", Text: name.String()})
	}
	if tell {
		n.tellNodes(wire.KJobEnd, wire.Marshal(&wire.JobQuery{Job: name}))
	}
}

// endJobsOf ends the jobs whose home node is gone.
func (n *Node) endJobsOf(home id.Node) {
	n.mu.Lock()
	var names []id.Job
	for name, j := range n.jobs {
		if j.ready && j.desc.Home == home {
			names = append(names, name)
		}
	}
	n.mu.Unlock()
	for _, name := range names {
		n.endJob(name, false)
	}
}

// sweepJobs deletes what came into the arena for a job while it ended.
func (n *Node) sweepJobs() {
	n.mu.Lock()
	var names []id.Job
	for i := len(n.ended.order) - 1; i >= 0; i-- {
		name := n.ended.order[i]
		if time.Since(n.ended.at[name]) > sweepEnded {
			break
		}
		names = append(names, name)
	}
	n.mu.Unlock()
	for _, name := range names {
		n.arena.DeleteJob(name)
	}
}
