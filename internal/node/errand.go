package node

import (
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// startLocked gives an errand whose resources are there to a process of this node, which may have to be
// started first.
func (n *Node) startLocked(e *errand) {
	if e.cancelled {
		return
	}
	if n.stopped {
		n.turnAwayLocked(e)
		return
	}
	if e.group != nil {
		n.grantLocked(e.group)
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
		n.place.own = inTurn(n.place.own, e)
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
		if e.cancelled {
			continue
		}
		if n.place.ownBusy >= n.place.ownLimit {
			rest := queue[i:]
			for _, e := range n.place.own { // came meanwhile
				rest = inTurn(rest, e)
			}
			n.place.own = rest
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
	n.place.forget(e)
	e.pid = p.pid
	if e.held {
		e.proc = p
		p.hold(e, 1)
	}
	if e.asked != nil || e.held {
		if old := p.errands[e.spec.Task]; old != nil {
			n.releaseLocked(old)
		}
		p.errands[e.spec.Task] = e
		if p.worker != nil && e.spec.Resources[wire.Memory] > 0 {
			n.weighSoon()
		}
	}
	if e.asked != nil {
		n.reply(e.asked, wire.Marshal(&wire.Placed{To: p.addr}), nil)
		e.asked = nil
	}
	e.raw, e.spec.Args = nil, nil // what is kept is small
	n.wentLocked(e, p.addr)
}

// move is where errands of one owner went.
type move struct{ owner, to id.Addr }

// wentLocked tells the owner of an errand where it is: at once, or with the others that are started together with it.
func (n *Node) wentLocked(e *errand, to id.Addr) {
	k := move{e.spec.Owner, to}
	m := n.moves[k]
	if m == nil {
		m = &wire.Moved{To: to}
	}
	m.Add(&e.spec)
	if n.moves == nil {
		n.tell(k.owner, wire.KMoved, wire.Marshal(m))
		return
	}
	n.moves[k] = m
}

// togetherLocked starts several errands: each owner is told once where those went that one process got.
func (n *Node) togetherLocked(start func()) {
	if n.moves != nil { // it is within another
		start()
		return
	}
	n.moves = map[move]*wire.Moved{}
	start()
	moves := n.moves
	n.moves = nil
	for k, m := range moves {
		n.tell(k.owner, wire.KMoved, wire.Marshal(m))
	}
}

// flushWorkerLocked sends a worker that has attached what waited for it.
func (n *Node) flushWorkerLocked(w *worker) {
	waiting := w.waiting
	w.waiting = nil
	n.togetherLocked(func() {
		for _, e := range waiting {
			if e.cancelled {
				n.workerDoneLocked(w)
				continue
			}
			n.runLocked(w.proc, e)
		}
	})
	n.startOwnLocked()
	for i := range w.asked {
		n.reply(&w.asked[i], wire.Marshal(&wire.Placed{To: w.proc.addr}), nil)
	}
	w.asked = nil
}
