package p2p

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/member"
)

const (
	joinFor   = 4 * time.Second  // until an address where nobody answers is given up
	joinMost  = 12 * time.Second // and one where somebody does, who is too busy to finish a handshake
	joinRetry = 200 * time.Millisecond
	retryMost = 2 * time.Second // between two tries
	maxHosts  = 64              // addresses of one DNS name that are tried

	reuniteEvery = 5 * time.Second
	resolveEach  = 6 // times that, where there are members
)

// resolver is what [net.Resolver] does for a join address.
type resolver interface {
	LookupIPAddr(ctx context.Context, host string) ([]net.IPAddr, error)
}

// join reaches one node at least of those named, or one that is remembered. All addresses are tried at once.
func (h *Host) join(ctx context.Context) error {
	if len(h.cfg.Join) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinMost)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	res := make(chan error, len(h.cfg.Join))
	for _, addr := range h.cfg.Join {
		h.wg.Go(func() {
			err := h.joinAddr(ctx, addr)
			if err != nil {
				h.wrong.note(Trouble{Addr: addr}, err)
				err = fmt.Errorf("p2p: joining %s: %w", addr, err)
			}
			res <- err
		})
	}
	var all []error
	hopeless := false
	for range h.cfg.Join {
		if err := <-res; err != nil {
			all = append(all, err)
			hopeless = hopeless || barred(err)
		}
	}
	if len(all) == len(h.cfg.Join) && (hopeless || !slices.ContainsFunc(h.Members(), func(m Member) bool { return m.Found == member.FoundBefore.String() })) {
		return errors.Join(all...)
	}
	for _, err := range all {
		h.cfg.Logger.Warn("p2p: one of the join addresses failed; another node answered", "err", err)
	}
	return nil
}

// joinAddr tries one address until ctx ends, or sooner where nobody is: its node may be starting too, or have many
// to let in.
func (h *Host) joinAddr(ctx context.Context, addr string) error {
	t, err := parseTarget(addr)
	if err != nil {
		return err
	}
	begin := time.Now()
	for wait := joinRetry; ; {
		err := h.joinTarget(ctx, t, nil)
		if err == nil {
			return nil
		}
		if barred(err) {
			return err // trying again will not help
		}
		slow := unfinished(err)
		if slow {
			wait = min(2*wait, retryMost)
		}
		if slow || time.Since(begin) < joinFor {
			select {
			case <-ctx.Done():
			case <-time.After(wait/2 + rand.N(wait)): // who started together do not try together
				continue
			}
		}
		switch {
		case slow:
			return fmt.Errorf("somebody answers there and does not finish the handshake: is it a node, or too busy? (%w)", err)
		case errors.Is(err, syscall.ECONNREFUSED):
			return fmt.Errorf("nothing listens there: is the node running, and is the port right? (%w)", err)
		}
		return fmt.Errorf("no node answers there: is the address right and reachable? (%w)", err)
	}
}

// unfinished says that a connection was there, and time ran out before both sides had said all.
func unfinished(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op != "dial" && (op.Timeout() || errors.Is(op, net.ErrClosed))
}

// joinTarget makes one attempt at every address that t's name stands for, all at once, but for those that skip
// says are no use. It returns when one is another node's, and fails when none is; those that answer later are
// members just as well.
func (h *Host) joinTarget(ctx context.Context, t target, skip func(addr string) bool) error {
	if near := h.nearTarget(id.Node(t.peer.String())); near != nil {
		ctx, cancel := context.WithTimeout(ctx, dialFor)
		defer cancel()
		if c, err := h.dialAny(ctx, near); err == nil {
			return h.joined(ctx, func() (*link, error) { return h.greet(ctx, c, member.FoundJoin) })
		}
	}
	host, port, err := net.SplitHostPort(t.addr)
	if err != nil {
		return err
	}
	ips, err := h.cfg.resolve.LookupIPAddr(ctx, host)
	if err != nil {
		return err
	}
	ips = ips[:min(len(ips), maxHosts)]
	res := make(chan error, len(ips))
	for _, ip := range ips {
		addr := net.JoinHostPort(ip.String(), port)
		if skip != nil && skip(addr) {
			res <- nil
			continue
		}
		h.wg.Go(func() { res <- h.joinOne(ctx, target{t.network, addr, t.peer}) })
	}
	last := fmt.Errorf("p2p: the name %s has no address", host)
	self := false
	for range ips {
		switch err := <-res; {
		case err == nil:
			return nil
		case errors.Is(err, errSelf):
			self = true // a name for all nodes, this one among them
		default:
			last = err
		}
	}
	if self {
		return nil
	}
	return last
}

var errSelf = errors.New("p2p: this is the node itself")

// joinOne makes one attempt at one address.
func (h *Host) joinOne(ctx context.Context, t target) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), dialFor)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	c, err := h.endpoint.Dial(ctx, t.network, t.addr, t.peer)
	if err != nil {
		return err
	}
	if id.Node(c.Peer.String()) == h.id {
		c.Close()
		return errSelf
	}
	return h.joined(ctx, func() (*link, error) { return h.greet(ctx, c, member.FoundJoin) })
}

// reunite tries the join addresses again while this node is alone, and resolves their names anew from time to time:
// nodes that started at once, each before its name was known, find each other so.
func (h *Host) reunite() {
	if len(h.cfg.Join) == 0 {
		return
	}
	n := 0
	h.every(reuniteEvery, func() {
		n++
		at, members := h.memberAddrs()
		for _, addr := range h.cfg.Join {
			t, err := parseTarget(addr)
			if err != nil || members > 0 && (n%resolveEach != 0 || !isName(t)) {
				continue
			}
			if err := h.joinTarget(h.ctx, t, func(addr string) bool { return at[addr] }); err == nil {
				h.wrong.over(addr)
			} else if h.ctx.Err() == nil {
				h.wrong.note(Trouble{Addr: addr}, err)
				h.cfg.Logger.Debug("p2p: trying a join address again", "addr", addr, "err", err)
			}
		}
	})
}

// isName says that an address has a name in it, which may come to stand for other addresses.
func isName(t target) bool {
	host, _, err := net.SplitHostPort(t.addr)
	return err == nil && net.ParseIP(host) == nil
}

// memberAddrs are where this node and the members listen, and how many members there are.
func (h *Host) memberAddrs() (at map[string]bool, n int) {
	at = map[string]bool{}
	for i, m := range h.Members() {
		n = i
		for _, a := range m.Addrs {
			if t, err := parseTarget(a); err == nil {
				at[t.addr] = true
			}
		}
	}
	return at, n
}

// joined runs the lane that greeting gives. One turned down as a duplicate is as good.
func (h *Host) joined(ctx context.Context, greeting func() (*link, error)) error {
	l, err := greeting()
	var td *turnedDown
	if errors.As(err, &td) && ctx.Err() == nil && td.duplicate() {
		return nil
	}
	if err != nil {
		return err
	}
	h.wg.Go(func() { h.runLink(l) })
	return nil
}
