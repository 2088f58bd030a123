package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/p2p"
)

// noBond marks the error of a frame to a node that is no living member of the cluster, as this one knows it.
const noBond = "node: no bond"

// fromProcess takes a frame from an attached process; it runs on the poll goroutine, and b lies in a ring.
func (n *Node) fromProcess(p *process, b []byte) {
	f, err := wire.ParseFrame(b)
	if err != nil || f.From != p.addr {
		n.stats.dropped.Add(1)
		n.log.Warn("node: dropped a frame of a process", "pid", p.pid, "from", f.From, "err", err)
		return
	}
	if f.To.Node == n.id && f.To.Proc == 0 {
		n.handle(p, &f)
		return
	}
	n.forward(&f)
}

// fromNode takes a frame from another node; it runs on the reader of its lane.
func (n *Node) fromNode(from id.Node, epoch uint64, b []byte) {
	n.stats.framesIn.Add(1)
	n.stats.bytesIn.Add(uint64(len(b)))
	if n.early.isOpen() {
		n.nodeFrame(from, epoch, b)
		return
	}
	b = bytes.Clone(b)
	if !n.early.do(func() { n.nodeFrame(from, epoch, b) }) {
		n.stats.dropped.Add(1)
	}
}

func (n *Node) nodeFrame(from id.Node, epoch uint64, b []byte) {
	f, err := wire.ParseFrame(b)
	if err != nil || f.From.Node != from || f.To.Node != n.id {
		n.stats.dropped.Add(1)
		n.log.Warn("node: dropped a frame of a node", "node", from.Short(), "from", f.From, "to", f.To, "err", err)
		return
	}
	f.Epoch = epoch
	if f.To.Proc == 0 {
		n.handle(nil, &f)
		return
	}
	n.forward(&f)
}

// forward sends a frame of somebody else on. A request that cannot be delivered is answered.
func (n *Node) forward(f *wire.Frame) {
	if err := n.send(f); err != nil {
		n.stats.dropped.Add(1)
		if f.Req != 0 && f.Flags&wire.FlagReply == 0 {
			r := f.ReplyError(*asRecord(err, wire.ErrorUnavailable))
			n.send(&r) // the sender may be gone as well
		}
		if f.Kind == wire.KRun && f.From.Proc != 0 {
			n.tellMissed(f, err)
		}
	}
}

// tellMissed tells who sends a call to a process that is gone of its death. It may have come after the news of that, with
// a handle that was on its way; nobody would ever answer it.
func (n *Node) tellMissed(f *wire.Frame, err error) {
	if f.To.Node == n.id {
		n.mu.Lock()
		is, parting := (*n.procs.Load())[f.To.Proc], n.parting[f.To.Proc]
		n.mu.Unlock()
		if is != nil || parting { // it takes no more just now; the news is about to be told
			return
		}
	} else if !slices.Contains(asRecord(err, wire.ErrorUnavailable).Known, noBond) {
		return
	}
	n.tell(f.From, wire.KDead, wire.Marshal(&wire.Dead{Addrs: []id.Addr{f.To}, Why: err.Error()}))
}

// send delivers a frame to a process of this node or hands it to the lane of another. It does not block and
// may be called with Node.mu held.
func (n *Node) send(f *wire.Frame) error {
	if f.To.Node == n.id {
		p := (*n.procs.Load())[f.To.Proc]
		if p == nil {
			return &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: n.id,
				Text: fmt.Sprintf("node: process %v is not on node %s any more: it has ended", f.To.Proc, n.id.Short())}
		}
		if err := p.link.SendFrame(f); err != nil {
			return &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: n.id, PID: p.pid,
				Text: fmt.Sprintf("node: sending %v to process %d of node %s: %v", f.Kind, p.pid, n.id.Short(), err)}
		}
		return nil
	}
	if n.host == nil {
		return &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: f.To.Node, Known: []string{noBond},
			Text: fmt.Sprintf("node: node %s cannot be reached: this node is private and has no peers", f.To.Node.Short())}
	}
	if f.Kind == wire.KPlace && !n.host.Connected(f.To.Node) {
		return n.notReached("node: no connection to node %s just now, and the task can go elsewhere", f.To.Node)
	}
	f.Epoch = n.epoch
	b := f.Append(nil)
	if err := n.host.Send(f.To.Node, b); err != nil {
		r := &wire.ErrorRecord{Class: wire.ErrorUnavailable, Node: f.To.Node, Known: []string{refused},
			Text: fmt.Sprintf("node: sending %v to node %s: %v", f.Kind, f.To.Node.Short(), err)}
		if !n.host.Connected(f.To.Node) {
			r.Known = append(r.Known, unreached)
		}
		if errors.Is(err, p2p.ErrNoLane) {
			r.Known = append(r.Known, noBond)
		}
		return r
	}
	n.stats.framesOut.Add(1)
	n.stats.bytesOut.Add(uint64(len(b)))
	return nil
}

// tell sends a message of ours that nobody answers; what cannot be delivered is counted.
func (n *Node) tell(to id.Addr, k wire.Kind, body []byte) bool {
	err := n.send(&wire.Frame{Kind: k, From: n.self(), To: to, Body: body})
	if err != nil {
		n.stats.dropped.Add(1)
		n.log.Debug("node: not delivered", "kind", k, "to", to, "err", err)
	}
	return err == nil
}

// tellProcesses sends a message to every process of this node.
func (n *Node) tellProcesses(k wire.Kind, body []byte) {
	for _, p := range *n.procs.Load() {
		n.tell(p.addr, k, body)
	}
}

// tellNodes sends a message to every other node.
func (n *Node) tellNodes(k wire.Kind, body []byte) {
	for _, m := range n.peers() {
		n.tell(id.Addr{Node: m}, k, body)
	}
}

// request sends a request of ours; done is called exactly once, on the goroutine that brings the answer, and
// must not block. Where sending fails that is the caller's, who therefore holds no lock that done takes.
func (n *Node) request(to id.Addr, k wire.Kind, body []byte, done func(body []byte, err error)) {
	req := n.calls.Start(to, done)
	if req == 0 {
		return
	}
	if err := n.send(&wire.Frame{Kind: k, From: n.self(), To: to, Req: req, Body: body}); err != nil {
		n.calls.Fail(req, err)
	}
}

// ask is request for goroutines that can wait.
func (n *Node) ask(ctx context.Context, to id.Addr, k wire.Kind, body []byte) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	ch := make(chan answer, 1)
	n.request(to, k, body, func(b []byte, err error) { ch <- answer{append([]byte(nil), b...), err} })
	select {
	case a := <-ch:
		return a.body, a.err
	case <-ctx.Done():
		return nil, fmt.Errorf("node: asking %v for %v: %w", to, k, ctx.Err()) // the call ends with its node or process
	}
}

func (n *Node) self() id.Addr { return id.Addr{Node: n.id} }

// reply answers a request; err nil is success.
func (n *Node) reply(f *wire.Frame, body []byte, err error) {
	if f.Req == 0 {
		return
	}
	r := f.Reply(body)
	if err != nil {
		r = f.ReplyError(*asRecord(err, wire.ErrorUnavailable))
	}
	if err := n.send(&r); err != nil {
		n.stats.dropped.Add(1)
		n.log.Debug("node: answer not delivered", "kind", f.Kind, "to", f.From, "err", err)
	}
}

func (n *Node) event(layer, kind, peer string, num int64, text string) {
	n.events.Add(trace.Event{Layer: layer, Kind: kind, Peer: peer, N: num, Text: text})
}
