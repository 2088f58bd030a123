package p2p

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/kadrehq/kadre/p2p/member"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxDials  = 32                     // at once
	maxShakes = 1024                   // accepted connections in their handshake; the ports bound those of strangers
	dialFor   = 5 * time.Second        // all addresses of a node, with the handshake: a busy one takes its time
	directFor = 500 * time.Millisecond // the addresses of a node that names a relay too: where they do not work, nothing answers
	dialNext  = 250 * time.Millisecond
	maxBulkIn = 16 // bulk lanes a peer may have open here
)

// turnedDown says that both nodes are fine and this lane is not wanted.
type turnedDown struct{ why string }

func (e *turnedDown) duplicate() bool { return e.why == member.WhyDuplicate }
func (e *turnedDown) stale() bool     { return e.why == member.WhyStale }

func (e *turnedDown) over() bool { return strings.HasPrefix(e.why, member.WhyOver) }

func (e *turnedDown) Error() string { return "p2p: lane turned down: " + e.why }

// accept takes connections of the lane half of a port.
func (h *Host) accept(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		h.take(c)
	}
}

// take has a connection that came in become a lane, or be refused.
func (h *Host) take(c net.Conn) {
	select {
	case h.shakes <- struct{}{}:
	default:
		c.Close() // the handshakes under way are bounded in time
		return
	}
	if !h.goes(func() {
		run, err := h.welcome(c)
		<-h.shakes
		if err != nil {
			h.refused(c.RemoteAddr(), err)
			return
		}
		run()
	}) {
		<-h.shakes
		c.Close()
	}
}

// every calls f each d until the host closes.
func (h *Host) every(d time.Duration, f func()) {
	t := time.NewTicker(d)
	defer t.Stop()
	for {
		select {
		case <-t.C:
		case <-h.ctx.Done():
			return
		}
		f()
	}
}

// goes starts a goroutine for somebody whom Close does not wait for, unless the host closes.
func (h *Host) goes(f func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.wg.Go(f)
	}
	return !h.closed
}

// refused logs what came of a stranger.
func (h *Host) refused(from net.Addr, err error) {
	level := slog.LevelDebug // anybody can open and close connections
	if barred(err) {
		host, _, e := net.SplitHostPort(from.String())
		if e != nil {
			host = from.String() // a stream, or a unix socket
		}
		if h.wrong.note(Trouble{Addr: host, In: true}, err) {
			level = slog.LevelWarn
		}
	}
	h.cfg.Logger.Log(h.ctx, level, "p2p: refused a connection", "from", from, "err", err)
}

// welcome is the listener's side of a handshake. run serves the lane until it ends.
func (h *Host) welcome(raw net.Conn) (run func(), err error) {
	c, err := h.endpoint.Accept(h.ctx, raw)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	defer context.AfterFunc(h.ctx, func() { c.Close() })()
	n := id.Node(c.Peer.String())
	var ours lane.Hello
	theirs, err := c.Hello(func(t *lane.Hello) lane.Hello {
		ours = h.hello(n, t.Kind, t.Lane, member.FoundMember)
		return ours
	})
	if err != nil {
		return nil, err
	}
	if theirs.Kind == lane.KindBulk {
		return h.welcomeBulk(c, n, theirs.Epoch)
	}
	l, err := h.agree(c, n, ours.Bond, theirs, member.Found(theirs.Found))
	if err != nil {
		return nil, err
	}
	return func() { h.runLink(l) }, nil
}

// hello is what this node says of itself to n.
func (h *Host) hello(n id.Node, k lane.Kind, name uint64, f member.Found) lane.Hello {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, bond := h.view.Greeting(n)
	_, fence := h.view.Member(n)
	return lane.Hello{
		Kind: k, Epoch: h.epoch, Lane: name, Last: last, Bond: bond, Found: byte(f),
		Info: member.AppendDesc(binary.BigEndian.AppendUint64(nil, fence), h.view.Desc()),
	}
}

// agree decides on a control lane together with its peer: the node with the lower ID first. said is the bond of
// our own hello.
func (h *Host) agree(c *lane.Conn, n id.Node, said uint64, theirs lane.Hello, f member.Found) (*link, error) {
	if n == h.id {
		return nil, errors.New("p2p: this is the node itself")
	}
	fence, desc, err := parseInfo(theirs.Info)
	if fence > h.epoch {
		return nil, &turnedDown{fmt.Sprintf("%s: %s has met epoch %d of this node, and this is epoch %d: another process runs under the same key (a copied state folder?)",
			member.WhyOver, n.Short(), fence, h.epoch)}
	}
	if err != nil || theirs.Lane == 0 || theirs.Kind != lane.KindControl {
		return nil, fmt.Errorf("p2p: hello of %s: %w", n, errors.Join(lane.ErrHello, err))
	}
	if f < member.FoundJoin || f > member.FoundRecord {
		f = member.FoundMember
	}
	decides := h.view.Decides(n) // constant
	if !decides {
		no, err := c.Await()
		if err != nil {
			return nil, err
		}
		if no != "" {
			return nil, &turnedDown{no}
		}
	}
	o := &offering{conn: c}
	h.mu.Lock()
	if h.closed {
		h.mu.Unlock()
		return nil, ErrClosed
	}
	h.offer = o
	h.stepLocked(member.Offer{
		ID: n, Epoch: theirs.Epoch, Lane: theirs.Lane, Last: theirs.Last, Bond: theirs.Bond,
		Said: said, Found: f, Desc: desc,
	})
	h.offer = nil
	h.mu.Unlock()
	if decides {
		if err := c.Decide(o.why); err != nil && o.got == nil {
			return nil, err
		} // with a lane in hand the failure shows when it runs
	}
	if o.got == nil {
		if decides {
			admit.Linger(c.NetConn())
		}
		return nil, &turnedDown{o.why}
	}
	c.Settle()
	return o.got, nil
}

// parseInfo reads what a hello says for the membership: the latest epoch of this node that the peer has met, and
// what it says of itself.
func parseInfo(b []byte) (fence uint64, d member.Desc, err error) {
	if len(b) < 8 {
		return 0, d, member.ErrMessage
	}
	d, err = member.ParseDesc(b[8:])
	return binary.BigEndian.Uint64(b), d, err
}

// runLink serves an accepted lane until it ends.
func (h *Host) runLink(l *link) {
	err := l.ctl.Run(func(k lane.Class, p []byte) { h.frame(l, k, p) })
	h.asks.failLane(l, err)
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.links[l.peer] == l {
		h.dropLinkLocked(l.peer)
		if !h.closed {
			h.stepLocked(member.Lost{ID: l.peer, Lane: l.lane, Why: err.Error()})
		}
	}
}

// dialLocked starts an attempt to reach a node that the view asks for.
func (h *Host) dialLocked(a member.Dial) {
	if h.closed {
		return
	}
	h.wg.Go(func() {
		select {
		case h.dials <- struct{}{}:
			defer func() { <-h.dials }()
		case <-h.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(h.ctx, dialFor)
		l, err := h.dialNode(ctx, a.ID, a.Addrs, a.Found)
		cancel()
		var td *turnedDown
		d := member.Dialed{ID: a.ID, OK: err == nil || errors.As(err, &td) && (td.duplicate() || td.stale())}
		if err != nil {
			d.Why = err.Error()
			news := !d.OK && h.wrong.note(Trouble{Peer: a.ID, Addr: strings.Join(a.Addrs, " ")}, err)
			d.Refused = nobody(err)
			d.Barred = barred(err) || td != nil && td.over()
			if d.Barred && news {
				h.cfg.Logger.Warn("p2p: a node does not let us in, or we not it", "peer", a.ID, "err", err)
			}
		}
		h.step(d)
		if l != nil {
			h.wg.Go(func() { h.runLink(l) })
		}
	})
}

// barred says that admission was refused, here or there.
func barred(err error) bool {
	return errors.Is(err, admit.ErrToken) || errors.Is(err, admit.ErrCluster) || errors.Is(err, admit.ErrVersion) || errors.Is(err, admit.ErrDenied)
}

// nobody says that no node of that name listens where err comes from.
func nobody(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, lane.ErrPeer) || errors.Is(err, syscall.ENOENT) // no socket
}

// dialNode reaches a known node by any of its addresses and agrees on a control lane.
func (h *Host) dialNode(ctx context.Context, n id.Node, addrs []string, f member.Found) (*link, error) {
	c, err := h.reach(ctx, n, addrs)
	if err != nil {
		return nil, err
	}
	return h.greet(ctx, c, f)
}

// reach connects to a known node: over a unix socket if it is of this machine, else by its addresses, last through
// a relay.
func (h *Host) reach(ctx context.Context, n id.Node, addrs []string) (*lane.Conn, error) {
	ts, err := targets(n, addrs)
	if err != nil {
		return nil, err
	}
	ts = append(h.nearTarget(n), ts...)
	if !slices.ContainsFunc(addrs, throughRelay) {
		return h.dialAny(ctx, ts)
	}
	if len(ts) > 0 {
		direct, cancel := context.WithTimeout(ctx, directFor)
		defer cancel()
		if c, err := h.dialAny(direct, ts); err == nil {
			return c, nil
		}
	}
	p, err := peer.Decode(string(n))
	if err != nil {
		return nil, err
	}
	return h.dialStream(ctx, p, addrs)
}

// greet is the dialer's side of a control lane's handshake.
func (h *Host) greet(ctx context.Context, c *lane.Conn, f member.Found) (l *link, err error) {
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	n := id.Node(c.Peer.String())
	ours := h.hello(n, lane.KindControl, newLane(), f)
	theirs, err := c.Hello(func(*lane.Hello) lane.Hello { return ours })
	if err != nil {
		return nil, err
	}
	if theirs.Lane != ours.Lane {
		return nil, fmt.Errorf("p2p: hello of %s: %w: it answers for another lane", n, lane.ErrHello)
	}
	return h.agree(c, n, ours.Bond, theirs, f)
}

// newLane names a lane; never 0.
func newLane() uint64 {
	var b [8]byte
	rand.Read(b[:]) // never fails
	return binary.BigEndian.Uint64(b[:]) | 1
}

// dialAny tries the addresses one after the other, the next when the last has failed or taken dialNext. Its
// error says nobody(err) only when that holds for every address.
func (h *Host) dialAny(ctx context.Context, ts []target) (*lane.Conn, error) {
	if len(ts) == 0 {
		return nil, errors.New("p2p: no address to dial")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		c   *lane.Conn
		err error
	}
	res := make(chan result, len(ts))
	started, ended := 0, 0
	var other, refused error
	for ended < len(ts) {
		var next <-chan time.Time
		if started < len(ts) {
			t := ts[started]
			started++
			h.wg.Go(func() {
				c, err := h.endpoint.Dial(ctx, t.network, t.addr, t.peer)
				res <- result{c, err}
			})
			timer := time.NewTimer(dialNext)
			defer timer.Stop()
			next = timer.C
		}
		select {
		case r := <-res:
			ended++
			if r.err == nil {
				left := started - ended
				h.wg.Go(func() { // the slower ones are not wanted
					for range left {
						if r := <-res; r.c != nil {
							r.c.Close()
						}
					}
				})
				return r.c, nil
			}
			if nobody(r.err) {
				refused = r.err
			} else {
				other = r.err
			}
		case <-next:
		}
	}
	if other != nil {
		return nil, other
	}
	return nil, refused
}
