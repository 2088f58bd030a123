package node

import (
	"fmt"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// A task that was placed and is not in a process yet is on its way to another node, or waits on this one: for resources, for
// its job's executable, for a worker. Its owner does not know where, so it asks its own node to cancel it, which passes that
// on along the task's way. One that has reached a process meanwhile is cancelled there, when its owner hears where it is.

// remember makes a task findable until it is in a process. What stands for several is cancelled there alone.
func (pl *placement) remember(e *errand) {
	if e.spec.Kind == wire.KindTask && e.spec.Count() == 1 {
		pl.wait[attempt{e.spec.Task, e.spec.Attempt}] = e
	}
}

// forget ends remember.
func (pl *placement) forget(e *errand) {
	if k := (attempt{e.spec.Task, e.spec.Attempt}); pl.wait[k] == e {
		delete(pl.wait, k)
	}
}

// cancelFrame takes the news that nobody wants the outcome of tasks any more, from their owner.
func (n *Node) cancelFrame(f *wire.Frame) error {
	var m wire.Cancel
	if err := wire.Unmarshal(f.Body, &m); err != nil {
		return err
	}
	if len(m.Lines) > 0 {
		n.endLines(f, &m)
		return nil
	}
	if len(m.Attempts) != len(m.Tasks) {
		return fmt.Errorf("node: %v cancels %d tasks and %d attempts", f.From, len(m.Tasks), len(m.Attempts))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	first := false
	for i, t := range m.Tasks {
		e := n.place.wait[attempt{t, m.Attempts[i]}]
		if e == nil || e.spec.Owner != f.From {
			continue
		}
		if e.away != "" {
			e.cancelled = true // it is not placed again, should that node not take it
			one := wire.Cancel{Tasks: m.Tasks[i : i+1], Attempts: m.Attempts[i : i+1]}
			n.forward(&wire.Frame{Kind: wire.KCancel, From: f.From, To: id.Addr{Node: e.away}, Body: wire.Marshal(&one)})
			continue
		}
		first = n.cancelLocked(e) || first
	}
	if first {
		n.advanceLocked()
	}
	return nil
}

// endLines ends all that has one of some tasks in its line: what waits here, what our processes have and, where one of these
// asks for it, what is on other nodes.
func (n *Node) endLines(f *wire.Frame, m *wire.Cancel) {
	body := wire.Marshal(&wire.Cancel{Lines: m.Lines})
	if f.From.Node == n.id {
		n.tellNodes(wire.KCancel, body)
	}
	n.tellProcesses(wire.KCancel, body)
	n.mu.Lock()
	defer n.mu.Unlock()
	first := false
	for _, e := range n.place.wait {
		switch {
		case !slices.ContainsFunc(e.spec.Line, func(t id.Task) bool { return slices.Contains(m.Lines, t) }):
		case e.away != "":
			e.cancelled = true // that node hears of it, too
		default:
			first = n.cancelLocked(e) || first
		}
	}
	if first {
		n.advanceLocked()
	}
}

// cancelLocked ends a task that waits here, and says whether younger ones may start for that.
func (n *Node) cancelLocked(e *errand) (first bool) {
	n.place.forget(e)
	e.cancelled = true
	if e.asked != nil {
		n.reply(e.asked, nil, &wire.ErrorRecord{Class: wire.ErrorCancelled, Node: n.id, Func: e.spec.Func,
			Text: fmt.Sprintf("node: %s was cancelled while it waited on node %s", e.spec.Func, n.id.Short())})
		e.asked = nil
	}
	e.raw, e.spec.Args = nil, nil
	if e.held { // it waits for a process
		n.releaseLocked(e)
		return true
	}
	if n.place.passed++; n.place.passed > len(n.place.wait) { // so each costs as much, however many wait
		n.place.passed = 0
		n.place.drop(func(e *errand) bool { return e.cancelled })
		return true
	}
	s := n.place.shapes[shapeOf(e)]
	return s != nil && s.queue[0] == e
}
