package p2p

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/directory"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	maxAsks     = 1 << 14         // requests waiting for their answers
	streamFor   = 2 * time.Second // a request over a libp2p stream, on either side
	maxStream   = 1 << 20         // bytes of a request or answer over a stream
	maxPerPeer  = 32              // requests of one peer over streams that are served at once: 32 MiB
	askIDBytes  = 8
	streamProto = "/kadre/%s/directory/1"
)

// net4dir is the network as the directory sees it.
type net4dir struct{ h *Host }

func (n net4dir) Self() id.Node { return n.h.id }

func (n net4dir) Closest(ctx context.Context, key directory.Key) ([]id.Node, error) {
	return n.h.kad.closest(ctx, key)
}

func (n net4dir) Closer(key directory.Key, a, b id.Node) bool { return n.h.kad.closer(key, a, b) }

// Call asks over the control lane, or over a libp2p stream where there is none: what Kademlia found need
// not be in the membership view.
func (n net4dir) Call(ctx context.Context, to id.Node, req []byte) ([]byte, error) {
	if l := n.h.link(to); l != nil {
		return n.h.asks.ask(ctx, l, req)
	}
	return n.h.askStream(ctx, to, req)
}

// asks are the requests of this node that wait for answers.
type asks struct {
	mu      sync.Mutex
	last    uint64
	waiting map[uint64]*asked
}

type asked struct {
	link *link
	res  chan answered
}

type answered struct {
	b   []byte
	err error
}

// ask sends a request on a control lane and waits.
func (a *asks) ask(ctx context.Context, l *link, req []byte) ([]byte, error) {
	q := &asked{l, make(chan answered, 1)}
	a.mu.Lock()
	if len(a.waiting) >= maxAsks {
		a.mu.Unlock()
		return nil, fmt.Errorf("p2p: %d requests wait for answers already", maxAsks)
	}
	a.last++
	n := a.last
	a.waiting[n] = q
	a.mu.Unlock()
	defer func() {
		a.mu.Lock()
		delete(a.waiting, n)
		a.mu.Unlock()
	}()
	if err := l.ctl.Send(lane.FrameAsk, binary.BigEndian.AppendUint64(nil, n), req); err != nil {
		return nil, fmt.Errorf("p2p: asking %s: %w", l.peer.Short(), err)
	}
	select {
	case r := <-q.res:
		return r.b, r.err
	case <-ctx.Done():
		return nil, fmt.Errorf("p2p: asking %s: %w", l.peer.Short(), context.Cause(ctx))
	}
}

// answered takes an answer; only the node asked can give it.
func (a *asks) answered(from id.Node, p []byte) {
	if len(p) < askIDBytes {
		return
	}
	n := binary.BigEndian.Uint64(p)
	a.mu.Lock()
	defer a.mu.Unlock()
	if q := a.waiting[n]; q != nil && q.link.peer == from {
		delete(a.waiting, n)
		q.res <- answered{b: append([]byte(nil), p[askIDBytes:]...)}
	}
}

// fail ends what waits for a node.
func (a *asks) fail(n id.Node, err error) {
	a.failIf(func(q *asked) bool { return q.link.peer == n }, err)
}

// failLane ends what waits for answers on a lane.
func (a *asks) failLane(l *link, err error) {
	a.failIf(func(q *asked) bool { return q.link == l }, err)
}

func (a *asks) failIf(is func(*asked) bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n, q := range a.waiting {
		if is(q) {
			delete(a.waiting, n)
			q.res <- answered{err: err}
		}
	}
}

// answer answers a request of a lane's peer.
func (h *Host) answer(l *link, p []byte) {
	if len(p) < askIDBytes {
		l.ctl.Cut(lane.ErrFrame)
		return
	}
	if err := l.ctl.Send(lane.FrameAnswer, p[:askIDBytes], h.serveAsk(l.peer, p[askIDBytes:])); err != nil {
		h.cfg.Logger.Debug("p2p: an answer was dropped", "peer", l.peer, "err", err)
	}
}

// serveAsk answers a request for the directory or for Kademlia.
func (h *Host) serveAsk(from id.Node, req []byte) []byte {
	if len(req) == 0 || req[0] != tagKademlia {
		return h.dir.Serve(from, req)
	}
	ans, err := h.kad.serve(from, req[1:])
	if err != nil {
		return nil // which is no answer that Kademlia knows
	}
	return ans
}

func (h *Host) streamID() protocol.ID {
	return protocol.ID(fmt.Sprintf(streamProto, h.cfg.Cluster))
}

// askStream asks over a libp2p stream; libp2p has proved the peer's name and its admission.
func (h *Host) askStream(ctx context.Context, to id.Node, req []byte) (_ []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("p2p: asking %s over libp2p: %w", to.Short(), err)
		}
	}()
	p, err := peer.Decode(string(to))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, streamFor)
	defer cancel()
	s, err := h.kad.host.NewStream(ctx, p, h.streamID())
	if err != nil {
		return nil, err
	}
	defer s.Close()
	defer context.AfterFunc(ctx, func() { s.Reset() })()
	if err := writeMessage(s, req); err != nil {
		return nil, err
	}
	return readMessage(s)
}

// serving counts the requests over streams that are being served, by who asks.
type serving struct {
	mu sync.Mutex
	by map[peer.ID]int
}

// enter says whether a peer may have one more request served; if so it ends with leave.
func (v *serving) enter(p peer.ID) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.by[p] >= maxPerPeer {
		return false
	}
	if v.by == nil {
		v.by = map[peer.ID]int{}
	}
	v.by[p]++
	return true
}

func (v *serving) leave(p peer.ID) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.by[p]--; v.by[p] == 0 {
		delete(v.by, p)
	}
}

// serveStream answers one request of a libp2p stream, or breaks it off where its peer has too many under way.
func (h *Host) serveStream(s network.Stream) {
	from := s.Conn().RemotePeer()
	if !h.serving.enter(from) {
		s.Reset()
		return
	}
	defer h.serving.leave(from)
	s.SetDeadline(time.Now().Add(streamFor))
	req, err := readMessage(s)
	if err == nil {
		err = writeMessage(s, h.serveAsk(id.Node(from.String()), req))
	}
	if err != nil {
		s.Reset()
		return
	}
	s.Close()
}

func writeMessage(w io.Writer, b []byte) error {
	_, err := w.Write(append(binary.BigEndian.AppendUint32(make([]byte, 0, 4+len(b)), uint32(len(b))), b...))
	return err
}

func readMessage(r io.Reader) ([]byte, error) {
	var l [4]byte
	if _, err := io.ReadFull(r, l[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(l[:])
	if n > maxStream {
		return nil, errors.New("p2p: message over the limit")
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}
