package proc

import (
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/internal/wire"
)

// sibling is another process of this node and the link to it, once there is one.
type sibling struct {
	link *wire.Link
	wait [][]byte // frames that came before the link; nil once it is there
	fail bool     // no link can be had: frames go through the node
}

func (s *sibling) close() {
	if s.link != nil {
		s.link.Close()
	}
}

// maxUnlinked bounds the frames that wait for one link.
const maxUnlinked = 1 << 16

// nodeAddr is this process's node itself.
func (p *Process) nodeAddr() id.Addr { return id.Addr{Node: p.self.Node} }

// send carries f to its receiver: the process itself, a sibling by a ring of their own, all others by way
// of the node. It does not block. Frames from here to one receiver keep their order.
func (p *Process) send(f *wire.Frame) error {
	f.From, f.Epoch = p.self, p.epoch
	if f.To == p.self {
		return fmt.Errorf("kadre: %s frame to the process itself", f.Kind)
	}
	if f.To.Node != p.self.Node || f.To.Proc == 0 {
		return p.node.SendFrame(f)
	}
	p.mu.Lock()
	s := p.links[f.To.Proc]
	if s == nil {
		s = &sibling{}
		p.links[f.To.Proc] = s
		p.askLinkLocked(f.To.Proc, s)
	}
	link, fail := s.link, s.fail
	if link == nil && !fail {
		if len(s.wait) >= maxUnlinked {
			p.mu.Unlock()
			return wire.ErrLinkFull
		}
		s.wait = append(s.wait, f.Append(nil))
		p.mu.Unlock()
		return nil
	}
	p.mu.Unlock()
	if fail {
		return p.node.SendFrame(f)
	}
	return link.SendFrame(f)
}

// askLinkLocked asks the node to link this process with another one. Frames wait meanwhile.
func (p *Process) askLinkLocked(to id.Proc, s *sibling) {
	n := p.calls.Start(p.nodeAddr(), func(_ []byte, err error) {
		if err == nil {
			return // the ends come by the socket
		}
		p.mu.Lock()
		if s.link != nil {
			p.mu.Unlock()
			return
		}
		s.fail = true
		wait := s.wait
		s.wait = nil
		p.mu.Unlock()
		p.feed.unlinked(to)
		for _, b := range wait {
			p.node.Send(b)
		}
	})
	f := wire.Frame{Kind: wire.KLink, To: p.nodeAddr(), Req: n, Body: wire.Marshal(&wire.LinkQuery{Proc: to})}
	f.From, f.Epoch = p.self, p.epoch
	if err := p.node.SendFrame(&f); err != nil {
		go p.calls.Fail(n, err)
	}
}

// join has the poll goroutine read a link.
func (p *Process) join(l *wire.Link, frame func([]byte)) {
	p.poller.Add(l, frame, func(err error) {
		if l != p.node || p.Closed() {
			return
		}
		p.log.Error("kadre: ring from the node", "err", err)
		p.conn.Close()
	})
	p.arena.Ring(p.arena.Client())
}

// offered takes one end of a ring pair to a sibling.
func (p *Process) offered(o *wire.Offer, fd int) {
	pair, err := shm.OpenRingPair(fd, o.Side, p.arena.Doorbell(o.Slot))
	shm.CloseFD(fd)
	if err != nil {
		p.log.Warn("kadre: link to a sibling", "err", err)
		return
	}
	link := wire.NewLink(pair)
	p.mu.Lock()
	s := p.links[o.Proc]
	if s == nil {
		s = &sibling{}
		p.links[o.Proc] = s
	}
	if s.link != nil {
		p.mu.Unlock()
		link.Close()
		return
	}
	for _, b := range s.wait {
		link.Send(b)
	}
	s.link, s.wait = link, nil
	p.mu.Unlock()
	p.join(link, p.fromSibling(o.Proc, link))
	p.feed.open(o.Proc, link)
}

// fromSibling takes the frames of another process of this node: a driver takes the results of its worker, a
// worker the tasks of a driver.
func (p *Process) fromSibling(from id.Proc, link *wire.Link) func([]byte) {
	if p.feed != nil {
		return p.fromWorker
	}
	if p.cfg.Worker == 0 {
		return p.handle
	}
	in := &intake{p: p, from: id.Addr{Node: p.self.Node, Proc: from}, link: link, ranges: map[uint32]*landing{}}
	return func(b []byte) {
		if wire.IsShort(b) {
			in.frame(b)
		} else {
			p.handle(b)
		}
	}
}

// request sends a request and calls done once, with the reply or what went wrong. done runs on the poll
// goroutine and must not block; body is valid only there.
func (p *Process) request(to id.Addr, k wire.Kind, body []byte, done func(body []byte, err error)) {
	p.requestWithin(0, to, k, body, done)
}

// requestWithin is request for an answer that nobody wants any more after left; 0: no bound.
func (p *Process) requestWithin(left time.Duration, to id.Addr, k wire.Kind, body []byte, done func(body []byte, err error)) {
	n := p.calls.Start(to, done)
	if n == 0 {
		return
	}
	if err := p.send(&wire.Frame{Kind: k, Left: left, To: to, Req: n, Body: body}); err != nil {
		p.calls.Fail(n, err)
	}
}

// notify sends a frame that nobody answers.
func (p *Process) notify(to id.Addr, k wire.Kind, body []byte) {
	if err := p.send(&wire.Frame{Kind: k, To: to, Body: body}); err != nil && !p.Closed() {
		p.log.Warn("kadre: message not sent", "kind", k, "to", to, "err", err)
	}
}

// handle takes one frame apart and does what it asks, or hands it to a goroutine.
func (p *Process) handle(b []byte) {
	f, err := wire.ParseFrame(b)
	if err != nil {
		p.log.Warn("kadre: bad frame", "err", err)
		return
	}
	if f.Flags&wire.FlagReply != 0 {
		p.calls.Finish(&f)
		return
	}
	h := handlers[f.Kind]
	if h == nil {
		p.refuse(&f, fmt.Errorf("kadre: a process does not answer %s", f.Kind))
		return
	}
	h(p, &f)
}

func (p *Process) reply(f *wire.Frame, body []byte) {
	if f.Req == 0 {
		return
	}
	r := f.Reply(body)
	p.send(&r)
}

func (p *Process) refuse(f *wire.Frame, err error) {
	if f.Req == 0 {
		return
	}
	r := f.ReplyError(*p.record(err, ""))
	p.send(&r)
}

// body decodes a frame's body; a bad one is refused.
func body[T any](p *Process, f *wire.Frame) (m T, ok bool) {
	if err := wire.Unmarshal(f.Body, &m); err != nil {
		p.log.Warn("kadre: bad message", "kind", f.Kind, "from", f.From, "err", err)
		p.refuse(f, err)
		return m, false
	}
	return m, true
}

// handlers run on the poll goroutine.
var handlers map[wire.Kind]func(*Process, *wire.Frame)

func init() {
	handlers = map[wire.Kind]func(*Process, *wire.Frame){
		wire.KRun:     (*Process).onRun,
		wire.KResult:  (*Process).onResult,
		wire.KResults: (*Process).onResults,
		wire.KMoved:   (*Process).onMoved,
		wire.KTake:    (*Process).onTake,
		wire.KRequeue: (*Process).onRequeue,
		wire.KObject:  (*Process).onObject,
		wire.KBorrow:  (*Process).onBorrow,
		wire.KHave:    (*Process).onHave,
		wire.KDelete:  (*Process).onDelete,
		wire.KRelease: (*Process).onRelease,
		wire.KCopied:  (*Process).onCopied,
		wire.KDrop:    (*Process).onDrop,
		wire.KDropped: (*Process).onDropped,
		wire.KDead:    (*Process).onDead,
		wire.KCollect: (*Process).onCollect,
		wire.KKill:    (*Process).onKill,
		wire.KCancel:  (*Process).onCancel,
		wire.KItem:    (*Process).onItem,
		wire.KLog:     (*Process).onLog,
		wire.KNote:    (*Process).onNote,
		wire.KBreak:   (*Process).onBreak,
		wire.KRefer:   (*Process).onRefer,
		wire.KStatus:  (*Process).onStatus,
		wire.KJobEnd:  func(p *Process, _ *wire.Frame) { p.endStop() },
		wire.KDrain:   func(p *Process, _ *wire.Frame) { p.endStop() },
	}
}
