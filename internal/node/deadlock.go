package node

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/waits"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	// confirmAfter is the pause between two looks that confirm a cycle.
	confirmAfter = 200 * time.Millisecond
	// farEvery is how often the other nodes are asked for their waits, where none here is new; farLeast is the pause
	// between two times in any case.
	farEvery = 4 * time.Second
	farLeast = 500 * time.Millisecond
	// farTwice is how often they are asked about waits that are new: the other ends may be newer still.
	farTwice = 2
	// maxTold bounds the cycles that are remembered since they were told and nobody can end them.
	maxTold = 256
)

// deadlocks looks for tasks that wait for each other, when processes say that some have waited for long.
type deadlocks struct {
	mu      sync.Mutex
	looking bool
	again   bool // somebody said so while one looked

	// The looker's.
	far    time.Time      // when the other nodes were asked last
	known  uint64         // of the waits then
	fresh  int            // how often to ask about these again soon
	silent map[string]int // cycles without a victim that were told, by their marks
}

// longWaits is called when a process says that tasks of it wait.
func (n *Node) longWaits(p *process) {
	if p == nil {
		return
	}
	d := &n.deadlocks
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looking {
		d.again = true
		return
	}
	d.looking = n.spawn(n.lookForDeadlocks)
}

// lookForDeadlocks looks until nobody has asked for it meanwhile.
func (n *Node) lookForDeadlocks() {
	d := &n.deadlocks
	for {
		n.findDeadlocks(n.ctx)
		d.mu.Lock()
		if !d.again || n.ctx.Err() != nil {
			d.looking = false
			d.mu.Unlock()
			return
		}
		d.again = false
		d.mu.Unlock()
	}
}

// findDeadlocks looks twice, and ends a wait of each cycle that it sees both times: one of this node, as the nodes
// of a cycle choose the same victim.
func (n *Node) findDeadlocks(ctx context.Context) {
	rows := n.taskRows(ctx, false)
	first := waits.Stuck(rows)
	look := func() []waits.Row { return n.taskRows(ctx, false) }
	if len(first) == 0 && n.wantsFar(rows) {
		look = func() []waits.Row {
			l := List[waits.Row]{Rows: n.taskRows(ctx, false)}
			gatherList(ctx, n, viewWaits, &l)
			return waits.Best(l.Rows)
		}
		first = waits.Stuck(look())
	}
	if len(first) == 0 {
		return
	}
	select {
	case <-ctx.Done():
		return
	case <-time.After(confirmAfter):
	}
	for _, c := range waits.Confirmed(first, waits.Stuck(look())) {
		n.breakCycle(&c)
	}
}

// wantsFar says whether to ask other nodes: what is waited for may be there, and some wait is new or was not followed
// for a while.
func (n *Node) wantsFar(rows []waits.Row) bool {
	here := map[string]bool{}
	for i := range rows {
		here[rows[i].Key] = true
	}
	var away []string
	for _, r := range rows {
		if r.Wait != 0 && slices.ContainsFunc(r.For, func(t waits.Target) bool { return !here[t.Key] }) {
			away = append(away, fmt.Sprint(r.Key, r.Wait))
		}
	}
	d := &n.deadlocks
	if len(away) == 0 || len(n.peers()) == 0 || time.Since(d.far) < farLeast {
		return false
	}
	slices.Sort(away)
	if h := waitNumber(away); h != d.known {
		d.known, d.fresh = h, farTwice
	}
	if d.fresh--; d.fresh < 0 && time.Since(d.far) < farEvery {
		return false
	}
	d.far = time.Now()
	return true
}

// breakCycle ends one wait of a cycle with an error, where that wait is of this node.
func (n *Node) breakCycle(c *waits.Cycle) {
	v, ok := c.Victim()
	if !ok {
		v = c.Rows[0]
	}
	if v.Node != string(n.id) {
		return
	}
	chain := c.Chain(v.Key)
	text := strings.Join(chain, "; ")
	if !ok {
		told := n.deadlocks.silent
		if len(told) >= maxTold {
			clear(told)
		}
		if told[text]++; told[text] > 1 {
			return
		}
	}
	n.events.Add(trace.Event{Layer: "wait", Kind: "deadlock", Peer: v.Node, Task: v.Task, N: int64(len(chain)), Text: text})
	n.log.Error("node: deadlock: tasks wait for each other", "chain", text, "ended", ok)
	if !ok {
		return
	}
	for _, p := range *n.procs.Load() {
		if p.addr.Proc.String() == v.Proc {
			n.tell(p.addr, wire.KBreak, wire.Marshal(&wire.Break{Wait: v.Wait, Chain: chain}))
		}
	}
}
