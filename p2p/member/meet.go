package member

import "fmt"

// WhyDuplicate refuses a lane to a node that has one.
const WhyDuplicate = "member: duplicate of the lane in use"

// WhyStale refuses a lane because a verdict or another lane came between our hello and the decision.
const WhyStale = "member: the view changed during the handshake"

// learn notes a node to dial. Word of an epoch that is down already is old news.
func (m *Machine) learn(e Learn, now int64) {
	if e.ID == m.self.ID || e.ID == "" || len(e.ID) > maxText || m.leaving {
		return
	}
	p := m.peers[e.ID]
	switch {
	case p == nil:
		if p = m.add(e.ID, e.Found); p == nil {
			return
		}
	case p.lane != 0, e.Epoch <= p.Epoch:
		return
	case p.State == Left || p.State == Dead:
		p.State = Known
	}
	p.Addrs = e.Addrs
	if p.State == Known {
		p.Epoch = e.Epoch
	}
	p.tries, p.next = 0, now
	if !m.Decides(e.ID) {
		p.next = now + yieldFor
	}
	m.redial(p, now)
}

// offer decides on a lane. Within a handshake the side that Decides asks first; the other side asks when it
// has heard yes, and takes that lane in place of any it had.
func (m *Machine) offer(e Offer, now int64) {
	if why := m.refuse(e); why != "" {
		m.do(Refuse{e.Lane, why})
		return
	}
	p := m.peers[e.ID]
	if p.up() && e.Epoch > p.Epoch {
		m.down(p, Dead, "restarted", now)
	} else if p.up() && e.Bond != p.bond {
		m.down(p, Dead, "it had lost us", now)
	}
	if p.lane != 0 {
		m.do(Cut{p.ID, p.lane, "replaced by a newer lane"})
	}
	fresh, first, again := !p.up(), p.State == Known, p.met != 0 && e.Epoch > p.met
	p.Epoch, p.met = e.Epoch, e.Epoch
	p.Addrs, p.Meta = e.Addrs, e.Meta
	p.State, p.lane, p.last, p.heard, p.tries = Alive, e.Lane, 0, now, 0
	p.beat, p.RTT = 0, 0
	if fresh {
		p.bond = e.Lane
	}
	m.do(Accept{p.ID, p.lane, fresh})
	if !fresh {
		m.tell(Changed, p, "reconnected")
	} else {
		m.tell(Up, p, "found by "+p.Found.String())
	}
	m.sendView(p)
	if again || first && p.Found != FoundMember {
		m.spread(p)
	}
}

// refuse says why a lane is not to be had, and notes its node otherwise.
func (m *Machine) refuse(e Offer) string {
	p := m.peers[e.ID]
	if p != nil && e.Found == FoundJoin {
		p.Found = FoundJoin // the user's word counts, also where members were quicker
	}
	switch {
	case e.ID == m.self.ID:
		return "member: this is the node itself"
	case m.leaving:
		return "member: this node is leaving"
	case p == nil:
		if m.add(e.ID, e.Found) == nil {
			return fmt.Sprintf("member: the view is full with %d nodes", maxPeers)
		}
	case e.Epoch < p.met:
		return fmt.Sprintf("member: epoch %d is over: a later start of this node was seen with epoch %d", e.Epoch, p.met)
	case e.Epoch == p.Epoch && p.State == Left:
		return "member: this node has left; it may come back with a new start"
	case m.Decides(e.ID) && p.lane != 0 && e.Epoch == p.Epoch && e.Last != p.lane:
		return WhyDuplicate
	case e.Said != p.bond:
		return WhyStale
	}
	return ""
}

// sendView tells p of all the others.
func (m *Machine) sendView(p *peer) {
	var l []Entry
	for _, n := range m.ids {
		q := m.peers[n]
		if q != p && q.up() {
			l = append(l, Entry{q.ID, q.Epoch, q.Addrs})
		}
		if len(l) == MaxEntries {
			m.do(Send{p.ID, List{l}})
			l = nil
		}
	}
	if len(l) > 0 {
		m.do(Send{p.ID, List{l}})
	}
}

// spread tells all the others of p.
func (m *Machine) spread(p *peer) {
	for _, n := range m.ids {
		if q := m.peers[n]; q != p && q.lane != 0 {
			m.do(Send{n, List{[]Entry{{p.ID, p.Epoch, p.Addrs}}}})
		}
	}
}

// lost lets the lower ID dial at once and the other a little later.
func (m *Machine) lost(p *peer, now int64) {
	p.last, p.lane, p.tries, p.next = p.lane, 0, 0, now
	if !m.Decides(p.ID) {
		p.next = now + yieldLost
	}
	m.redial(p, now)
}

// redial dials p if it is time.
func (m *Machine) redial(p *peer, now int64) {
	if p.lane != 0 || p.dialing || p.State == Left || m.leaving || now < p.next {
		return
	}
	p.dialing = true
	m.do(Dial{p.ID, p.Addrs, p.Found})
}

// dialed says when to dial again, or that it is no use.
func (m *Machine) dialed(p *peer, e Dialed, now int64) {
	p.dialing = false
	if p.lane != 0 || p.State == Left {
		return
	}
	if e.OK { // accepted and lost since
		p.next = now + retryEvery
		return
	}
	p.tries++
	switch {
	case p.up() && e.Refused:
		m.down(p, Dead, "its lane broke and nothing listens at its addresses: "+e.Why, now)
	case p.up():
		p.next = now + retryEvery
	case e.Barred:
		p.next = now + barredFor
	case p.State == Known && p.tries >= triesKnown:
		m.forget(p.ID)
	case p.State == Known:
		p.next = now + retryEvery<<p.tries
	default:
		p.next = now + min(rejoinFirst<<min(p.tries, 8), rejoinMost)
	}
}
