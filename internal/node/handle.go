package node

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// maxBusy bounds the requests whose handling has a goroutine at a time.
const maxBusy = 1 << 16

// handle takes a frame for the node itself. p is the sender when it is attached here; then the frame's body
// lies in its ring, and is copied by handlers that keep it.
func (n *Node) handle(p *process, f *wire.Frame) {
	if f.Flags&wire.FlagReply != 0 {
		n.calls.Finish(f)
		return
	}
	var err error
	switch f.Kind {
	case wire.KPlace:
		err = n.placeFrame(f)
	case wire.KCancel:
		err = n.cancelFrame(f)
	case wire.KDone:
		err = n.doneFrame(p, f)
	case wire.KSteal:
		if p == nil {
			n.steal.receive(f.From.Node, f.Body)
		}
	case wire.KPull:
		err = n.pullFrame(f)
	case wire.KFree:
		err = n.freeFrame(p, f)
	case wire.KLocate:
		err = n.locateFrame(f)
	case wire.KPublish:
		err = n.publishFrame(f)
	case wire.KJob:
		err = n.jobFrame(f)
	case wire.KJobEnd:
		err = n.jobEndFrame(p, f)
	case wire.KDead:
		err = n.deadFrame(p, f)
	case wire.KLog:
		err = n.logFrame(f)
	case wire.KNodes:
		n.reply(f, wire.Marshal(&wire.Nodes{Nodes: n.nodes()}), nil)
	case wire.KLink:
		err = n.linkFrame(p, f)
	case wire.KWorker:
		err = n.workerFrame(p, f)
	case wire.KStatus:
		err = n.statusFrame(f)
	case wire.KCollect:
		err = n.later(f, func(ctx context.Context, f *wire.Frame) ([]byte, error) { n.collect(ctx); return nil, nil })
	case wire.KRefer:
		err = n.referFrame(f)
	case wire.KWaits:
		n.longWaits(p)
	case wire.KGroup:
		err = n.groupFrame(p, f)
	case wire.KNames:
		if p == nil {
			err = n.namesFrame(f)
		}
	case wire.KName:
		err = n.nameFrame(p, f)
	case wire.KRoom:
		err = n.roomFrame(p, f)
	case wire.KDrain:
		if p != nil {
			n.mu.Lock()
			p.draining = true
			n.mu.Unlock()
		}
		n.reply(f, nil, nil)
	default:
		err = fmt.Errorf("node: %v is not for a node", f.Kind)
	}
	if err != nil {
		n.stats.dropped.Add(1)
		n.log.Warn("node: refused a message", "kind", f.Kind, "from", f.From, "err", err)
		n.reply(f, nil, err)
	}
}

// later handles a frame on a goroutine of its own, within the sender's time, and answers it.
func (n *Node) later(f *wire.Frame, do func(ctx context.Context, f *wire.Frame) ([]byte, error)) error {
	if n.busy.Add(1) > maxBusy {
		n.busy.Add(-1)
		return fmt.Errorf("node: busy: %d requests are being served", maxBusy)
	}
	g := *f
	g.Body = bytes.Clone(f.Body)
	if !n.spawn(func() {
		defer n.busy.Add(-1)
		ctx, cancel := n.ctx, context.CancelFunc(func() {})
		if g.Left > 0 {
			ctx, cancel = context.WithTimeout(n.ctx, g.Left)
		}
		defer cancel()
		body, err := do(ctx, &g)
		n.reply(&g, body, err)
	}) {
		n.busy.Add(-1)
		return &wire.ErrorRecord{Class: wire.ErrorClosed, Text: "node: the node is closing", Node: n.id}
	}
	return nil
}

func (n *Node) linkFrame(p *process, f *wire.Frame) error {
	var q wire.LinkQuery
	if err := wire.Unmarshal(f.Body, &q); err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("node: only processes of the node are linked")
	}
	return n.later(f, func(context.Context, *wire.Frame) ([]byte, error) { return nil, n.introduce(p, q.Proc) })
}

// deadFrame takes the news of deaths elsewhere. Only a node can tell, and only of itself and its processes.
func (n *Node) deadFrame(p *process, f *wire.Frame) error {
	var d wire.Dead
	if err := wire.Unmarshal(f.Body, &d); err != nil {
		return err
	}
	for _, a := range d.Addrs {
		if p != nil || a.Node != f.From.Node {
			return fmt.Errorf("node: %v says that %v is dead, which is not its to say", f.From, a)
		}
	}
	n.heardDead(d.Addrs, d.Why)
	return nil
}

// tellDead spreads the news of a death on this node.
func (n *Node) tellDead(dead []id.Addr, why string) {
	body := wire.Marshal(&wire.Dead{Addrs: dead, Why: why})
	n.tellProcesses(wire.KDead, body)
	n.tellNodes(wire.KDead, body)
	n.buryCalls(dead, why)
}

// heardDead passes news of deaths elsewhere on to our processes.
func (n *Node) heardDead(dead []id.Addr, why string) {
	n.tellProcesses(wire.KDead, wire.Marshal(&wire.Dead{Addrs: dead, Why: why}))
	n.buryCalls(dead, why)
}

// buryCalls fails what we asked the dead, and forgets what they had asked of us.
func (n *Node) buryCalls(dead []id.Addr, why string) {
	for _, a := range dead {
		n.calls.FailAddr(a, &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: a.Node, Text: fmt.Sprintf("node: %v is gone: %s", a, why)})
	}
	n.mu.Lock()
	n.dropOrphansLocked(dead)
	n.mu.Unlock()
	n.orphans.bury(dead)
}

// pressurePause is the least time between two garbage collections because the arena is full.
const pressurePause = 500 * time.Millisecond

// collect asks our processes to collect garbage, and waits until they did; false when they did a moment ago.
func (n *Node) collect(ctx context.Context) bool {
	now := time.Now().UnixNano()
	if last := n.pressed.Load(); now-last < int64(pressurePause) || !n.pressed.CompareAndSwap(last, now) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, wire.CallTimeout)
	defer cancel()
	procs := *n.procs.Load()
	done := make(chan struct{}, len(procs))
	for _, p := range procs {
		n.request(p.addr, wire.KCollect, nil, func([]byte, error) { done <- struct{}{} })
	}
	for range procs {
		select {
		case <-done:
		case <-ctx.Done():
			return true
		}
	}
	return true
}
