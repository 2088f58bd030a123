package node

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/waits"
	"github.com/kadrehq/kadre/internal/wire"
)

// processAnswer bounds the wait for what a process says of itself.
const processAnswer = 2 * time.Second

// Sure figures of rows, see waits.Row: those of processes are 1 for what they sent away and 3 for what they have.
const (
	sureSentAway = 1
	sureErrand   = 2
	sureSilent   = 4 // it does not say so itself
)

// look is what a process said of itself.
type look struct {
	p      *process
	said   waits.Process
	silent string // why it said nothing
	state  string // "stopped" or "silent" then
}

// lookAll asks the processes of this node what they do: all of it, or only what waits.
func (n *Node) lookAll(ctx context.Context, full bool) []look {
	ctx, cancel := context.WithTimeout(ctx, processAnswer)
	defer cancel()
	what := viewWaits
	if full {
		what = viewTasks
	}
	body := wire.Marshal(&wire.StatusQuery{What: what})
	type answer struct {
		i    int
		said waits.Process
		err  error
	}
	procs := *n.procs.Load()
	looks := make([]look, 0, len(procs))
	answers := make(chan answer, len(procs))
	asked := 0
	for _, p := range procs {
		i := len(looks)
		looks = append(looks, look{p: p, state: "silent", silent: "it does not answer"})
		if s := processState(p.pid); s == stoppedState || s == tracedState {
			looks[i].state, looks[i].silent = "stopped", "it is stopped by a signal"
			continue
		}
		asked++
		n.request(p.addr, wire.KStatus, body, func(b []byte, err error) {
			var said waits.Process
			if err == nil {
				err = json.Unmarshal(b, &said)
			}
			answers <- answer{i, said, err}
		})
	}
	for range asked {
		select {
		case a := <-answers:
			if a.err == nil {
				looks[a.i].said, looks[a.i].silent, looks[a.i].state = a.said, "", ""
			}
		case <-ctx.Done():
			return looks
		}
	}
	return looks
}

// taskRows lists the tasks of this node: all, or those that wait.
func (n *Node) taskRows(ctx context.Context, full bool) []waits.Row {
	rows := n.rowsOf(n.lookAll(ctx, full), full)
	if !full {
		rows = slices.DeleteFunc(rows, func(r waits.Row) bool { return r.State != waits.Waiting })
	}
	return rows
}

// rowsOf puts together what processes said and what this node knows itself.
func (n *Node) rowsOf(looks []look, full bool) []waits.Row {
	rows := n.errandRows()
	silent := map[string]*look{}
	for i := range looks {
		l := &looks[i]
		rows = append(rows, l.said.Rows...)
		if l.silent != "" {
			silent[l.p.addr.Proc.String()] = l
			rows = append(rows, n.silentRows(l)...)
		}
	}
	for i := range rows {
		if l := silent[rows[i].At]; l != nil && rows[i].Node == string(n.id) {
			rows[i].PID, rows[i].State, rows[i].Why = l.p.pid, waits.Waiting, l.why()
		}
	}
	rows = waits.Best(rows)
	return append([]waits.Row{}, rows...)
}

func (l *look) why() string {
	return fmt.Sprintf("process %d to go on: %s", l.p.pid, l.silent)
}

// silentRows tells of the placed tasks of a process that says nothing.
func (n *Node) silentRows(l *look) (rows []waits.Row) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range l.p.errands {
		r := n.errandRow(e, sureSilent)
		r.PID, r.Why = l.p.pid, l.why()
		rows = append(rows, r)
	}
	return rows
}

// key names an errand among the rows of a cluster.
func (e *errand) key() string {
	if e.group != nil {
		return "group " + e.group.id.String()
	}
	return e.spec.Task.String()
}

func (n *Node) errandRow(e *errand, sure int) waits.Row {
	r := waits.Row{Key: e.key(), Task: e.spec.Task.String(), Job: e.spec.Job.String(), Func: e.spec.Func, State: waits.Waiting,
		Node: string(n.id), Attempt: int(e.spec.Attempt), Sure: sure}
	if !e.since.IsZero() && !e.held {
		r.AgeSec = time.Since(e.since).Seconds()
	}
	if n := e.spec.Count(); n > 1 {
		r.Count = n
	}
	if e.spec.Actor != (id.Actor{}) {
		r.Actor = e.spec.Actor.String()
	}
	return r
}

// errandRows lists the placed tasks that wait on this node, and for what.
func (n *Node) errandRows() (rows []waits.Row) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, e := range n.place.queued() {
		rows = append(rows, n.resourceRowLocked(e))
	}
	wait := func(es []*errand, pid int, format string, args ...any) {
		for _, e := range es {
			if e.cancelled {
				continue
			}
			r := n.errandRow(e, sureErrand)
			r.PID, r.Why = pid, fmt.Sprintf(format, args...)
			rows = append(rows, r)
		}
	}
	wait(n.place.own, 0, "a process of its own: %d run, which is as many as may just now", n.place.ownBusy)
	wait(n.place.cut, 0, "a node that fits it and cannot be reached just now")
	for _, j := range n.jobs {
		wait(j.waiting, 0, "the job's executable to be fetched from node %s", j.desc.Home.Short())
	}
	for _, w := range n.workers {
		wait(w.waiting, w.pid, "a worker process to start")
	}
	return rows
}

// resourceRowLocked tells which resources a task waits for, and who has them.
func (n *Node) resourceRowLocked(e *errand) waits.Row {
	r := n.errandRow(e, sureErrand)
	var lacking []string
	bound := false // by something that may never come free
	mark := []string{r.Key}
	for _, a := range e.need {
		total, free := e.pool.total[a.name], max(0, e.pool.free(a.name))
		if free >= a.micro {
			continue
		}
		where := ""
		if e.pool.name != "" {
			where = " in " + e.pool.name
		}
		lacking = append(lacking, fmt.Sprintf("%s=%s (%s of %s free%s)", a.name, units(a.micro), units(free), units(total), where))
		if a.name == cpuName {
			continue // tasks that wait lend theirs: nobody waits for ever for it
		}
		bound = true
		for _, h := range n.holdersLocked(e.pool, a.name) {
			mark = append(mark, h.key())
			if len(r.For) < waits.MaxTargets {
				r.For = append(r.For, waits.Target{Key: h.key(), Func: h.spec.Func, How: "waits for " + a.name + ", held by"})
			} else {
				r.More++
			}
		}
	}
	if lacking == nil {
		r.Why = "its turn: tasks that came before it wait for the same resources"
		return r
	}
	r.Why = strings.Join(lacking, " and ")
	if !bound {
		return r
	}
	r.Need = 1 // one that ends may give back enough
	r.Wait = waitNumber(mark)
	return r
}

// holdersLocked lists the placed tasks and actors that hold some of a resource.
func (n *Node) holdersLocked(p *pool, name string) (hs []*errand) {
	add := func(e *errand) {
		if e.held && (e.pool == p || e.pool.gone == p) && slices.ContainsFunc(e.need, func(a amount) bool { return a.name == name }) {
			hs = append(hs, e)
		}
	}
	for _, g := range n.groups {
		add(g.errand)
	}
	for _, p := range *n.procs.Load() {
		for _, e := range p.errands {
			add(e)
		}
	}
	for _, j := range n.jobs {
		for _, e := range j.waiting {
			add(e)
		}
	}
	for _, w := range n.workers {
		for _, e := range w.waiting {
			add(e)
		}
	}
	for _, e := range n.place.own {
		add(e)
	}
	slices.SortFunc(hs, func(a, b *errand) int { return strings.Compare(a.key(), b.key()) })
	return hs
}

func units(micro int64) string { return strconv.FormatFloat(float64(micro)/1e6, 'g', -1, 64) }

// waitNumber numbers a wait by who waits for whom.
func waitNumber(names []string) uint64 {
	h := uint64(14695981039346656037)
	for _, s := range names {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	return h | 1
}
