package lane

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Bounds on strangers: connections that have not proved yet that they may enter, whatever they have said. Past
// them the oldest goes first: of the same address, so that one stranger cannot push out the others, else of all. A
// stranger costs some 30 KiB. Nodes that have proved themselves do not count, so hundreds may be behind one address.
const (
	MaxStrangers     = 512
	maxStrangersAddr = 256
	silentFor        = 2 * time.Second       // until the first byte; libp2p and the endpoint bound the rest
	acceptPause      = 10 * time.Millisecond // after a failed Accept (out of descriptors)
)

// First bytes: of TLS's ClientHello and of multistream-select.
const (
	firstLane   = 0x16
	firstLibp2p = 0x13
)

// Port is one listening socket shared by lanes and libp2p.
type Port struct {
	ln     net.Listener
	lanes  chan net.Conn
	libp2p chan net.Conn
	ctx    context.Context
	stop   context.CancelFunc
	wg     sync.WaitGroup

	mu        sync.Mutex
	strangers []*stranger // oldest first
}

// stranger is a connection of a port, and stays it until Known or Close.
type stranger struct {
	*net.TCPConn
	p    *Port
	from netip.AddrPort
}

// Known says that the other end has proved that it may enter.
func (s *stranger) Known() { s.p.release(s) }

// Close closes the connection.
func (s *stranger) Close() error {
	s.p.release(s)
	return s.TCPConn.Close()
}

// KnownFrom is Known for the connection from an address.
func (p *Port) KnownFrom(addr *net.TCPAddr) {
	from := addrPort(addr)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.strangers = slices.DeleteFunc(p.strangers, func(s *stranger) bool { return s.from == from })
}

// Listen binds addr. network is "tcp4" or "tcp6": "tcp" would bind [::] for 0.0.0.0.
func Listen(network, addr string) (*Port, error) {
	lc := net.ListenConfig{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	ln, err := lc.Listen(context.Background(), network, addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("lane: %s is in use by another process: choose another port, or port 0 for a free one", addr)
	}
	if err != nil {
		return nil, fmt.Errorf("lane: listening: %w", err)
	}
	p := &Port{ln: ln, lanes: make(chan net.Conn), libp2p: make(chan net.Conn)}
	p.ctx, p.stop = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is the bound address.
func (p *Port) Addr() *net.TCPAddr { return p.ln.Addr().(*net.TCPAddr) }

// Lanes is the half that starts with TLS.
func (p *Port) Lanes() net.Listener { return p.half(p.lanes) }

// Libp2p is the half that starts with multistream-select.
func (p *Port) Libp2p() net.Listener { return p.half(p.libp2p) }

// Close stops both halves, closes what was not handed out and waits.
func (p *Port) Close() error {
	p.stop()
	err := p.ln.Close()
	p.mu.Lock()
	for _, s := range p.strangers {
		s.TCPConn.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
	return err
}

func (p *Port) accept() {
	for {
		c, err := p.ln.Accept()
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			select {
			case <-time.After(acceptPause):
			case <-p.ctx.Done():
			}
			continue
		}
		t := c.(*net.TCPConn)
		n := &stranger{t, p, addrPort(c.RemoteAddr().(*net.TCPAddr))}
		if !p.hold(n) {
			c.Close()
			return
		}
		p.wg.Go(func() { p.sort(n) })
	}
}

// hold notes a stranger and makes room for it.
func (p *Port) hold(n *stranger) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return false
	}
	same, oldest := 0, 0
	for i, s := range p.strangers {
		if s.from.Addr() == n.from.Addr() {
			if same == 0 {
				oldest = i
			}
			same++
		}
	}
	if same < maxStrangersAddr {
		oldest = 0
	}
	if same >= maxStrangersAddr || len(p.strangers) >= MaxStrangers {
		old := p.strangers[oldest]
		old.SetLinger(0)
		old.TCPConn.Close()
		p.strangers = slices.Delete(p.strangers, oldest, oldest+1)
	}
	p.strangers = append(p.strangers, n)
	return true
}

// addrPort is the address as it compares.
func addrPort(a *net.TCPAddr) netip.AddrPort {
	ap := a.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
}

func (p *Port) release(n *stranger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.strangers, n); i >= 0 {
		p.strangers = slices.Delete(p.strangers, i, i+1)
	}
}

// sort waits for the first byte and hands the connection to its half.
func (p *Port) sort(c *stranger) {
	b, err := peek(c.TCPConn)
	to := p.lanes
	switch {
	case err != nil:
		c.Close()
		return
	case b == firstLane:
	case b == firstLibp2p:
		to = p.libp2p
	default:
		c.Close()
		return
	}
	select {
	case to <- c:
	case <-p.ctx.Done():
		c.Close()
	}
}

// peek reads the first byte and leaves it there: the connection stays a plain *net.TCPConn.
func peek(c *net.TCPConn) (byte, error) {
	c.SetReadDeadline(time.Now().Add(silentFor))
	defer c.SetReadDeadline(time.Time{})
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var b [1]byte
	var n int
	var e error
	err = rc.Read(func(fd uintptr) bool {
		n, _, e = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		return e != syscall.EAGAIN && e != syscall.EINTR
	})
	switch {
	case err != nil:
		return 0, err
	case e != nil:
		return 0, e
	case n == 0:
		return 0, net.ErrClosed
	}
	return b[0], nil
}

// half is one half of a port as a listener. Closing it ends its Accept and leaves the port open.
type half struct {
	p    *Port
	ch   chan net.Conn
	ctx  context.Context
	stop context.CancelFunc
}

func (p *Port) half(ch chan net.Conn) net.Listener {
	h := &half{p: p, ch: ch}
	h.ctx, h.stop = context.WithCancel(p.ctx)
	return h
}

func (h *half) Accept() (net.Conn, error) {
	select {
	case c := <-h.ch:
		return c, nil
	case <-h.ctx.Done():
		return nil, net.ErrClosed
	}
}
func (h *half) Close() error   { h.stop(); return nil }
func (h *half) Addr() net.Addr { return h.p.ln.Addr() }
