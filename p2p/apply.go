package p2p

import (
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/kadrehq/kadre/p2p/member"
)

const (
	maxChanged  = 1 << 12 // waiting events; past it a Changed is dropped, an Up or Down never
	recentKept  = 64
	addrsEvery  = 5 * time.Second // how often the machine's addresses are looked at
	ticksToAddr = int(addrsEvery / time.Duration(member.TickEvery))
)

// offering is a connection that a Step decides on.
type offering struct {
	conn *lane.Conn
	got  *link  // accepted
	why  string // refused
}

func (h *Host) now() int64 { return int64(time.Since(h.born)) + 1 } // never 0, which means "not yet"

// step lets something happen to the view and does what it asks for.
func (h *Host) step(ev member.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.stepLocked(ev)
}

// stepLocked holds h.mu, so nothing it does may wait.
func (h *Host) stepLocked(ev member.Event) {
	for _, a := range h.view.Step(ev, h.now()) {
		switch a := a.(type) {
		case member.Accept:
			if a.Fresh {
				h.bonds[a.ID] = lane.NewBond()
			}
			l := &link{peer: a.ID, lane: a.Lane, via: h.offer.conn.Via, ours: h.offer.conn.Dialed, proved: h.offer.conn.Key, epoch: h.offerEpoch(ev), ctl: h.bonds[a.ID].Lane(h.offer.conn)}
			h.links[a.ID] = l
			h.kad.note(a.ID, &h.kad.laned, true)
			h.offer.got = l
		case member.Refuse:
			h.offer.why = a.Why
		case member.Cut:
			if l := h.links[a.ID]; l != nil && l.lane == a.Lane {
				h.unlinkLocked(l, errors.New(a.Why))
			}
		case member.Dial:
			h.dialLocked(a)
		case member.Send:
			if l := h.links[a.ID]; l != nil {
				if err := l.ctl.Send(lane.FrameMember, nil, member.Append(nil, a.Msg)); err != nil {
					h.cfg.Logger.Debug("p2p: a membership message was dropped", "peer", a.ID, "err", err)
				}
			}
		case member.Tell:
			h.tellLocked(a)
		}
	}
}

func (h *Host) offerEpoch(ev member.Event) uint64 { return ev.(member.Offer).Epoch }

// unlinkLocked ends a lane that no longer counts.
func (h *Host) unlinkLocked(l *link, why error) {
	h.dropLinkLocked(l.peer)
	l.ctl.Cut(why)
}

func (h *Host) dropLinkLocked(n id.Node) {
	delete(h.links, n)
	h.kad.note(n, &h.kad.laned, false)
}

// tellLocked queues an event and lets a verdict take effect.
func (h *Host) tellLocked(a member.Tell) {
	e := Event{Kind: EventKind(a.Kind), Member: asMember(a.Info), Why: a.Why}
	n := a.Info.ID
	if a.Why != "" { // else only a load
		h.kad.note(n, &h.kad.doubt, a.Info.State == member.Suspect)
	}
	switch e.Kind {
	case Up:
		h.kad.unbury(n)
		h.wrong.over(string(n))
	case Down:
		h.kad.bury(n)
		why := fmt.Errorf("p2p: %s is down: %s", n.Short(), a.Why)
		if b := h.bonds[n]; b != nil {
			b.End(why)
			delete(h.bonds, n)
		}
		h.asks.fail(n, why)
		if p := h.pools[n]; p != nil {
			p.cutAll()
			delete(h.pools, n)
		}
		for b := range h.served[n] {
			b.Cut()
		}
	}
	if e.Kind != Changed {
		h.cfg.Logger.Info("p2p: member "+e.Kind.String(), "peer", n, "epoch", a.Info.Epoch, "why", a.Why)
	}
	if a.Why != "" { // else a load, of which there are many
		if len(h.recent) == recentKept {
			h.recent = h.recent[1:]
		}
		h.recent = append(h.recent, fmt.Sprintf("%s %s %s %s: %s", time.Now().UTC().Format("15:04:05.000"), n.Short(), e.Kind, e.Member.State, a.Why))
	}
	if e.Kind == Changed && len(h.events) >= maxChanged {
		h.cfg.Logger.Warn("p2p: Config.Event is too slow: a change was not told", "peer", n)
		return
	}
	h.events = append(h.events, e)
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// tellEvents tells the layers above, after Kademlia and the directory.
func (h *Host) tellEvents() {
	for {
		select {
		case <-h.wake:
		case <-h.ctx.Done():
			return
		}
		h.mu.Lock()
		events := h.events
		h.events = nil
		h.mu.Unlock()
		for _, e := range events {
			switch e.Kind {
			case Down:
				h.kad.evict(e.Member.ID)
				h.dir.Moved(e.Member.ID)
			case Up:
				h.kad.admit(e.Member.ID, e.Member.Addrs)
				h.dir.Moved(e.Member.ID)
			}
		}
		for _, e := range events {
			if h.ctx.Err() != nil {
				return
			}
			h.cfg.Event(e)
		}
	}
}

// ticks lets time pass in the view.
func (h *Host) ticks() {
	n := 0
	h.every(time.Duration(member.TickEvery), func() {
		n++
		h.mu.Lock()
		for n, l := range h.links {
			if l.ctl.Heard() {
				h.stepLocked(member.Heard{ID: n})
			}
			l.ctl.Confirm()
		}
		h.stepLocked(member.Tick{})
		h.mu.Unlock()
		if n%ticksToAddr == 0 {
			h.checkAddrs()
		}
	})
}

// checkAddrs tells peers when this machine's addresses have changed.
func (h *Host) checkAddrs() {
	addrs := h.addrs()
	h.mu.Lock()
	defer h.mu.Unlock()
	self := h.view.Self()
	if fmt.Sprint(addrs) != fmt.Sprint(self.Addrs) {
		h.stepLocked(member.Describe{Addrs: addrs, Meta: self.Meta})
	}
}

// frame takes a frame of a lane, on its reader's goroutine.
func (h *Host) frame(l *link, k lane.Class, p []byte) {
	switch k {
	case lane.FrameUser:
		h.cfg.Control(l.peer, l.epoch, p)
	case lane.FrameMember:
		m, err := member.Parse(p)
		if err != nil {
			l.ctl.Cut(fmt.Errorf("p2p: %w", err))
			return
		}
		h.step(member.Recv{ID: l.peer, Lane: l.lane, Msg: m})
	case lane.FrameAsk:
		h.answer(l, p)
	case lane.FrameAnswer:
		h.asks.answered(l.peer, p)
	}
}

// Send takes a control frame for a member; it reaches to's Config.Control once and in order with the others
// this node sent there, also when lanes break in between, unless a Down event of that member comes on either
// side: then what was on the way is lost. It copies the frame and does not wait: when too much is on the way
// the error is ErrFull, and nothing was taken.
func (h *Host) Send(to id.Node, frame []byte) error {
	if len(frame) > MaxFrame {
		return fmt.Errorf("p2p: frame of %d bytes: at most %d", len(frame), MaxFrame)
	}
	h.mu.Lock()
	b := h.bonds[to]
	h.mu.Unlock()
	if b == nil {
		return fmt.Errorf("%w: %s", ErrNoLane, to)
	}
	if err := b.Send(frame); err != nil {
		return fmt.Errorf("p2p: sending to %s: %w", to.Short(), err)
	}
	return nil
}

// Connected says whether there is a lane to a member just now. Send keeps frames also while there is none; what
// can as well go elsewhere should not wait for what may turn out to be a death.
func (h *Host) Connected(n id.Node) bool { return h.link(n) != nil }

func (h *Host) link(n id.Node) *link {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.links[n]
}
