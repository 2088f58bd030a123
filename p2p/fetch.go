package p2p

import (
	"context"
	"errors"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/kadrehq/kadre/p2p/member"
)

// How many bulk lanes a node opens to one peer; one request goes over each at a time. To one of its own machine two
// are enough to keep both ends busy, and more would only push each other's bytes out of the caches.
const (
	maxBulkOut  = 4
	maxBulkNear = 2
)

// pool has the bulk lanes to a peer. Its maps are guarded by Host.mu.
type pool struct {
	slots chan struct{} // one for each lane in use
	idle  []*lane.Bulk
	all   map[*lane.Bulk]bool
}

func (p *pool) cutAll() {
	for b := range p.all {
		b.Cut()
	}
}

// Fetch asks another node's Config.Serve. land gets the answer's meta and the size of its data and gives the
// place for it, of exactly that size; the data is read straight into it. After an error the place may be
// partly written. A refusal by the other node is a *RemoteError.
func (h *Host) Fetch(ctx context.Context, from id.Node, req []byte, land func(meta []byte, n int) ([]byte, error)) (meta []byte, n int, err error) {
	if len(req) > MaxRequest {
		return nil, 0, fmt.Errorf("p2p: bulk request of %d bytes: at most %d", len(req), MaxRequest)
	}
	p, err := h.pool(from)
	if err != nil {
		return nil, 0, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return nil, 0, fmt.Errorf("p2p: fetching from %s: %w", from.Short(), context.Cause(ctx))
	}
	for {
		b, old, err := h.bulk(ctx, p, from)
		if err != nil {
			return nil, 0, fmt.Errorf("p2p: fetching from %s: %w", from.Short(), err)
		}
		meta, n, fresh, err := b.Fetch(ctx, req, land)
		var remote *RemoteError
		good := err == nil || errors.As(err, &remote)
		h.giveBack(p, b, good)
		if err != nil && !good && fresh && old && ctx.Err() == nil {
			continue // the server had closed an idle lane; in the end a new one is dialed
		}
		if err != nil {
			return meta, n, fmt.Errorf("p2p: fetching from %s: %w", from.Short(), err)
		}
		h.bulkIn.Add(uint64(n))
		return meta, n, nil
	}
}

// pool finds the pool of a member.
func (h *Host) pool(n id.Node) (*pool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if h.bonds[n] == nil {
		return nil, fmt.Errorf("%w: %s", ErrNoLane, n)
	}
	p := h.pools[n]
	if p == nil {
		lanes := maxBulkOut
		if h.nearby[n] {
			lanes = maxBulkNear
		}
		p = &pool{make(chan struct{}, lanes), nil, map[*lane.Bulk]bool{}}
		h.pools[n] = p
	}
	return p, nil
}

// bulk takes an idle lane, or dials one.
func (h *Host) bulk(ctx context.Context, p *pool, n id.Node) (b *lane.Bulk, old bool, err error) {
	h.mu.Lock()
	if k := len(p.idle); k > 0 {
		b, p.idle = p.idle[k-1], p.idle[:k-1]
		h.mu.Unlock()
		return b, true, nil
	}
	addrs, epoch := h.reachLocked(n)
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, dialFor)
	defer cancel()
	defer context.AfterFunc(h.ctx, cancel)()
	b, err = h.dialBulk(ctx, n, addrs, epoch)
	if err != nil {
		return nil, false, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed || h.pools[n] != p { // a verdict came in between
		b.Cut()
		return nil, false, fmt.Errorf("%w: %s", ErrNoLane, n)
	}
	p.all[b] = true
	return b, false, nil
}

// reachLocked is where a member is, and under which epoch.
func (h *Host) reachLocked(n id.Node) ([]string, uint64) {
	i, _ := h.view.Member(n)
	return i.Addrs, i.Epoch
}

func (h *Host) dialBulk(ctx context.Context, n id.Node, addrs []string, epoch uint64) (_ *lane.Bulk, err error) {
	c, err := h.reach(ctx, n, addrs)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			c.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	theirs, err := c.Hello(func(*lane.Hello) lane.Hello { return h.hello(n, lane.KindBulk, newLane(), member.FoundMember) })
	if err != nil {
		return nil, err
	}
	no, err := c.Await()
	if err != nil {
		return nil, err
	}
	if no != "" {
		return nil, &turnedDown{no}
	}
	if theirs.Epoch != epoch {
		return nil, &turnedDown{fmt.Sprintf("p2p: the peer has restarted: epoch %d, not %d", theirs.Epoch, epoch)}
	}
	c.Settle()
	return lane.NewBulk(c), nil
}

// giveBack puts a lane back that is good for another request.
func (h *Host) giveBack(p *pool, b *lane.Bulk, good bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if good {
		p.idle = append(p.idle, b)
		return
	}
	delete(p.all, b)
	b.Cut()
}

// welcomeBulk takes a peer's bulk lane unless its epoch is over. It need not be a member here yet: the lane
// that makes it one may be a moment behind.
func (h *Host) welcomeBulk(c *lane.Conn, n id.Node, epoch uint64) (run func(), err error) {
	b := lane.NewBulk(c)
	h.mu.Lock()
	no := ""
	switch i, fence := h.view.Member(n); {
	case h.closed:
		no = "p2p: closing"
	case epoch < fence || epoch == i.Epoch && (i.State == member.Dead || i.State == member.Left):
		no = "p2p: this epoch is over"
	case len(h.served[n]) >= maxBulkIn:
		no = fmt.Sprintf("p2p: more than %d bulk lanes of one peer", maxBulkIn)
	default:
		if h.served[n] == nil {
			h.served[n] = map[*lane.Bulk]bool{}
		}
		h.served[n][b] = true
	}
	h.mu.Unlock()
	err = c.Decide(no)
	if no != "" {
		return nil, &turnedDown{no}
	}
	if err != nil {
		h.unserve(n, b)
		return nil, err
	}
	c.Settle()
	return func() {
		defer h.unserve(n, b)
		err := b.Serve(
			func(req []byte) ([]byte, []byte, func(), error) { return h.cfg.Serve(n, req) },
			func(k int) { h.bulkOut.Add(uint64(k)) })
		h.cfg.Logger.Debug("p2p: a bulk lane ended", "peer", n, "err", err)
	}, nil
}

func (h *Host) unserve(n id.Node, b *lane.Bulk) {
	b.Cut()
	h.mu.Lock()
	defer h.mu.Unlock()
	if delete(h.served[n], b); len(h.served[n]) == 0 {
		delete(h.served, n)
	}
}
