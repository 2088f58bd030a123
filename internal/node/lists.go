package node

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/waits"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
)

// List is a listing: of one node, or of all that answered.
type List[T any] struct {
	Rows   []T      `json:"rows"`
	Silent []Silent `json:"silent,omitempty"` // nodes whose part is missing
}

// Silent is a node that did not answer.
type Silent struct {
	Node id.Node `json:"node"`
	Why  string  `json:"why"`
}

// The views that list. With everywhere before it a view is that of all nodes.
const (
	viewTasks   = "tasks"
	viewWaits   = "waits" // tasks that wait
	viewWorkers = "workers"
	viewJobs    = "jobs"
	viewActors  = "actors"
	viewGroups  = "groups"
	everywhere  = "all "
	viewAt      = "at " // and a node and a view: that node's
)

// memberAnswer bounds the wait for another node's part of a listing.
const memberAnswer = 4 * time.Second

// shorter is a view that can be told in fewer words where it is too long for a message.
type shorter interface{ shorten() }

// tasks is a list of tasks.
type tasks struct{ List[waits.Row] }

// shorten puts alike rows together, and tells less of what each waits for.
func (l *tasks) shorten() {
	for i := range l.Rows {
		r := &l.Rows[i]
		if k := len(r.For) / 2; k > 0 {
			r.More += len(r.For) - k
			r.For = r.For[:k]
		}
	}
	l.Rows = waits.Compact(l.Rows, len(l.Rows)*3/4)
}

// lookView gives the views that list; false where what is none of them.
func (n *Node) lookView(ctx context.Context, what string) (any, bool) {
	view, all := strings.CutPrefix(what, everywhere)
	gather := func(f func()) {
		if all {
			f()
		}
	}
	if d, ok := strings.CutPrefix(view, viewRecord); ok {
		long, err := time.ParseDuration(d)
		if err != nil {
			return err, true
		}
		l := &List[Recorder]{Rows: n.record(long)}
		gather(func() { gatherList(ctx, n, view, l) })
		return l, true
	}
	if which, ok := strings.CutPrefix(view, viewTape); ok {
		b, err := n.tape(ctx, which)
		if err != nil {
			return err, true
		}
		return b, true
	}
	if which, ok := strings.CutPrefix(view, viewLog); ok {
		p, err := n.logPart(ctx, which)
		if err != nil {
			return err, true
		}
		return p, true
	}
	switch view {
	case viewLogs:
		l := &List[LogFile]{Rows: n.logFiles()}
		gather(func() { gatherList(ctx, n, view, l) })
		return l, true
	case viewTasks, viewWaits:
		l := &tasks{List[waits.Row]{Rows: n.taskRows(ctx, view == viewTasks)}}
		gather(func() {
			gatherList(ctx, n, view, &l.List)
			l.Rows = waits.Best(l.Rows)
			for i := range l.Rows {
				l.Rows[i].Sure = 0
			}
		})
		return l, true
	case viewWorkers:
		l := &List[ProcessStatus]{Rows: n.workerRows(ctx)}
		gather(func() { gatherList(ctx, n, view, l) })
		return l, true
	case viewJobs:
		l := &List[JobStatus]{Rows: n.jobRows(ctx)}
		gather(func() {
			gatherList(ctx, n, view, l)
			l.Rows = sumJobs(l.Rows)
		})
		return l, true
	case viewGroups:
		n.mu.Lock()
		l := &List[GroupStatus]{Rows: n.groupRowsLocked()}
		n.mu.Unlock()
		gather(func() { gatherList(ctx, n, view, l) })
		return l, true
	case viewActors:
		l := &List[waits.Actor]{Rows: n.actorRows(ctx)}
		gather(func() { gatherList(ctx, n, view, l) })
		return l, true
	}
	return nil, false
}

// gatherList adds what the other nodes have to a list.
func gatherList[T any](ctx context.Context, n *Node, view string, l *List[T]) {
	ctx, cancel := context.WithTimeout(ctx, memberAnswer)
	defer cancel()
	type part struct {
		from id.Node
		rows []T
		err  error
	}
	peers := n.peers()
	parts := make(chan part, len(peers))
	for _, m := range peers {
		n.request(id.Addr{Node: m}, wire.KStatus, wire.Marshal(&wire.StatusQuery{What: view}), func(b []byte, err error) {
			var one List[T]
			if err == nil {
				err = json.Unmarshal(b, &one)
			}
			parts <- part{m, one.Rows, err}
		})
	}
	open := map[id.Node]bool{}
	for _, m := range peers {
		open[m] = true
	}
	for range peers {
		select {
		case p := <-parts:
			delete(open, p.from)
			l.Rows = append(l.Rows, p.rows...)
			if p.err != nil {
				l.Silent = append(l.Silent, Silent{p.from, p.err.Error()})
			}
		case <-ctx.Done():
			for _, m := range slices.Sorted(maps.Keys(open)) {
				l.Silent = append(l.Silent, Silent{m, fmt.Sprintf("no answer within %v", memberAnswer)})
			}
			return
		}
	}
}

// workerRows lists the workers of this node.
func (n *Node) workerRows(ctx context.Context) []ProcessStatus {
	looks := n.lookAll(ctx, true)
	rows := n.Status().Workers
	for i := range rows {
		w := &rows[i]
		w.Node, w.Memory, w.State = n.id, readStatm(w.PID).resident, "idle"
		if began, ok := beganAt(w.PID); ok {
			w.AgeSec = float64(bootTicks()-began) / ticksPerSecond
		}
		k := slices.IndexFunc(looks, func(l look) bool { return l.p.pid == w.PID })
		switch {
		case k < 0:
			w.State = "starting"
		case looks[k].silent != "":
			w.State = looks[k].state
		default:
			w.doing(looks[k].said)
		}
	}
	return append([]ProcessStatus{}, rows...)
}

// doing sums up what a process said that it does.
func (w *ProcessStatus) doing(said waits.Process) {
	w.Abandoned = said.Abandoned
	for _, r := range said.Rows {
		switch {
		case r.State == waits.Running:
			w.State = waits.Running
			w.Running = append(w.Running, r.Func)
		case r.State == waits.Waiting && w.State == "idle":
			w.State = waits.Waiting
		}
	}
	for _, a := range said.Actors {
		if w.Func == "" || w.Func == a.Class {
			w.Func = a.Class
		}
	}
	slices.Sort(w.Running)
	w.Running = slices.Compact(w.Running)
}

// jobRows lists the jobs that this node knows, with this node's part of their figures.
func (n *Node) jobRows(ctx context.Context) []JobStatus {
	looks := n.lookAll(ctx, true)
	rows := append([]JobStatus{}, n.Status().Jobs...)
	at := map[string]*JobStatus{}
	for i := range rows {
		at[rows[i].Job] = &rows[i]
	}
	for _, l := range looks {
		j := at[l.p.job.String()]
		if j == nil {
			continue
		}
		if l.p.worker == nil {
			j.PID = l.p.pid
			j.AgeSec = float64(bootTicks()-l.p.since) / ticksPerSecond
		}
		for _, f := range l.said.Funcs {
			j.Done, j.Failed = j.Done+f.Runs, j.Failed+f.Failed
		}
	}
	for _, r := range n.rowsOf(looks, true) {
		if j := at[r.Job]; j != nil && r.Sure != sureSentAway && !r.Outside() {
			j.count(&r)
		}
	}
	n.arena.List(func(e arena.Entry) bool {
		if j := at[e.Job.String()]; j != nil {
			j.Objects, j.Bytes = j.Objects+1, j.Bytes+e.Size
		}
		return true
	})
	n.store.EachSpilled(func(i spill.Info) {
		if j := at[i.Job.String()]; j != nil {
			j.Objects, j.Bytes = j.Objects+1, j.Bytes+i.Size
		}
	})
	return rows
}

func (j *JobStatus) count(r *waits.Row) {
	switch r.State {
	case waits.Queued:
		j.Queued += r.Tasks()
	case waits.Running:
		j.Running += r.Tasks()
	default:
		j.Waiting += r.Tasks()
	}
}

// sumJobs puts the parts that nodes told of a job together; what its home says of it counts.
func sumJobs(parts []JobStatus) []JobStatus {
	rows := []JobStatus{}
	at := map[string]int{}
	for _, p := range parts {
		i, ok := at[p.Job]
		if !ok {
			at[p.Job] = len(rows)
			rows = append(rows, p)
			continue
		}
		r := &rows[i]
		if p.PID != 0 {
			r.PID, r.AgeSec = p.PID, p.AgeSec
		}
		r.Done, r.Failed = r.Done+p.Done, r.Failed+p.Failed
		r.Queued, r.Running, r.Waiting = r.Queued+p.Queued, r.Running+p.Running, r.Waiting+p.Waiting
		r.Objects, r.Bytes = r.Objects+p.Objects, r.Bytes+p.Bytes
	}
	return rows
}

// actorRows lists the actors of this node, and those that wait to be made.
func (n *Node) actorRows(ctx context.Context) []waits.Actor {
	rows := []waits.Actor{}
	looks := n.lookAll(ctx, true)
	for _, l := range looks {
		for _, a := range l.said.Actors {
			for _, r := range l.said.Rows { // its running call may wait
				if r.Actor == a.ID && r.State == waits.Waiting && r.Func == a.Running {
					a.State = waits.Waiting
				}
			}
			rows = append(rows, a)
		}
	}
	for _, r := range n.errandRows() {
		if r.Actor != "" && r.State == waits.Waiting {
			rows = append(rows, waits.Actor{ID: r.Actor, Class: r.Func, Job: r.Job, State: "waiting to be made", Node: r.Node})
		}
	}
	slices.SortFunc(rows, func(a, b waits.Actor) int { return strings.Compare(a.ID, b.ID) })
	return rows
}
