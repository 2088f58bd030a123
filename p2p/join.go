package p2p

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/member"
)

const (
	joinFor   = 4 * time.Second // all join addresses together
	joinRetry = 200 * time.Millisecond
	maxHosts  = 16 // addresses of one DNS name that are tried
)

// join reaches one node at least of those named. All addresses are tried at once.
func (h *Host) join(ctx context.Context) error {
	if len(h.cfg.Join) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, joinFor)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	res := make(chan error, len(h.cfg.Join))
	for _, addr := range h.cfg.Join {
		h.wg.Go(func() {
			err := h.joinAddr(ctx, addr)
			if err != nil {
				err = fmt.Errorf("p2p: joining %s: %w", addr, err)
			}
			res <- err
		})
	}
	var all []error
	for range h.cfg.Join {
		if err := <-res; err != nil {
			all = append(all, err)
		}
	}
	if len(all) == len(h.cfg.Join) {
		return errors.Join(all...)
	}
	for _, err := range all {
		h.cfg.Logger.Warn("p2p: one of the join addresses failed; another answered", "err", err)
	}
	return nil
}

// joinAddr tries one address until ctx ends: its node may be starting too.
func (h *Host) joinAddr(ctx context.Context, addr string) error {
	t, err := parseTarget(addr)
	if err != nil {
		return err
	}
	for {
		err := h.joinTarget(ctx, t)
		if err == nil {
			return nil
		}
		if barred(err) {
			return err // trying again will not help
		}
		select {
		case <-ctx.Done():
			if errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("nothing listens there: is the node running, and is the port right? (%w)", err)
			}
			return fmt.Errorf("no node answers there: is the address right and reachable? (%w)", err)
		case <-time.After(joinRetry):
		}
	}
}

// joinTarget makes one attempt at every address that t's name stands for, until one is another node's.
func (h *Host) joinTarget(ctx context.Context, t target) error {
	host, port, err := net.SplitHostPort(t.addr)
	if err != nil {
		return err
	}
	ips, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return err
	}
	var last error
	self := false
	for _, ip := range ips[:min(len(ips), maxHosts)] {
		ctx, cancel := context.WithTimeout(ctx, dialFor)
		c, err := h.endpoint.Dial(ctx, t.network, net.JoinHostPort(ip.String(), port), t.peer)
		if err == nil && id.Node(c.Peer.String()) == h.id {
			self = true // a name for all nodes, this one among them
			c.Close()
			cancel()
			continue
		}
		if err == nil {
			err = h.joined(ctx, func() (*link, error) { return h.greet(ctx, c, member.FoundJoin) })
		}
		cancel()
		if err == nil {
			return nil
		}
		last = err
	}
	if self {
		return nil
	}
	return last
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
