package member

import "fmt"

// Why an offered lane is refused.
const (
	WhyDuplicate = "member: duplicate of the lane in use"
	// WhyStale: a verdict or another lane came between our hello and the decision.
	WhyStale = "member: the view changed during the handshake"
	// WhyOver begins the reason: the epoch is lower than one that was met.
	WhyOver   = "member: a later start of this node was seen"
	WhyDenied = "member: this node is on the list of the denied (--deny-file)"
)

// learn notes a node that a hint names, to be dialed. Word of an epoch that is down already is old news.
func (m *Machine) learn(e Learn, now int64) {
	if e.ID == m.self.ID || m.left || m.denied[e.ID] {
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
		m.begin(p, e.Epoch)
	}
	m.seek(p, now)
}

// begin forgets what was said of earlier epochs of p.
func (m *Machine) begin(p *peer, epoch uint64) {
	if p.Epoch == epoch {
		return
	}
	p.Epoch, p.Said, p.inc, p.loadSeq, p.suspect, p.claimFor, p.loadFor = epoch, 0, 0, 0, suspicion{}, 0, 0
	p.Load = nil
}

// seek dials p, or lets it dial.
func (m *Machine) seek(p *peer, now int64) {
	p.tries, p.next, p.lost = 0, now, now
	if !m.Decides(p.ID) {
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
	fresh, first := !p.up(), p.met == 0
	again := !first && fresh
	m.begin(p, e.Epoch)
	p.met = e.Epoch
	p.lane, p.last, p.renewBy, p.heard, p.tries = e.Lane, 0, 0, now, 0
	p.State, p.RTT, p.beat = Alive, 0, 0
	if p.Said == Suspect {
		p.State = Suspect
	}
	if fresh {
		p.bond = e.Lane
	}
	m.described(p, e.Desc)
	m.do(Accept{p.ID, p.lane, fresh})
	if !fresh {
		m.tell(Changed, p, "reconnected")
	} else {
		m.tell(Up, p, "found by "+p.Found.String())
	}
	m.vouch(p, e.Desc, now)
	if again || first && p.Found != FoundMember {
		m.meet(p, now)
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
	case m.left:
		return "member: this node is leaving"
	case m.denied[e.ID]:
		return WhyDenied
	case p == nil:
		if m.add(e.ID, e.Found) == nil {
			return fmt.Sprintf("member: the view is full with %d nodes", maxPeers)
		}
	case e.Epoch < p.met:
		return fmt.Sprintf("%s, with epoch %d: epoch %d is over", WhyOver, p.met, e.Epoch)
	case e.Epoch == p.Epoch && p.State == Left:
		return "member: this node has left; it may come back with a new start"
	case m.Decides(e.ID) && p.lane != 0 && e.Epoch == p.Epoch && e.Last != p.lane && p.renewBy == 0:
		return WhyDuplicate
	case e.Said != p.bond:
		return WhyStale
	}
	return ""
}

// lost lets the lower ID dial at once and the other a little later.
func (m *Machine) lost(p *peer, now int64) {
	p.last, p.lane, p.renewBy, p.lost, p.tries, p.next = p.lane, 0, 0, now, 0, now
	if !m.Decides(p.ID) {
		p.next = now + yieldLost
	}
	m.redial(p, now)
}

// redial dials p if it is time.
func (m *Machine) redial(p *peer, now int64) {
	if p.lane != 0 || p.dialing || p.State == Left || m.left || m.denied[p.ID] || now < p.next || len(p.Addrs) == 0 {
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
		p.next = m.after(now, retryEvery)
		return
	}
	p.tries++
	switch {
	case p.up() && e.Refused:
		m.down(p, Dead, "its lane broke and nothing listens at its addresses: "+e.Why, now)
		m.doubt(p, now)
	case p.up():
		p.next = m.after(now, retryEvery)
	case e.Barred:
		p.next = now + barredFor
	case p.State == Known && p.tries >= triesKnown && !p.counts():
		m.forget(p.ID)
	case p.State == Known:
		p.next = m.after(now, min(retryEvery<<min(p.tries, 8), retryMost))
	}
}

// rekeyed has those dialed again soon that were put off after a refused admission.
func (m *Machine) rekeyed(now int64) {
	for _, n := range m.ids {
		if p := m.peers[n]; p.next > now+rejoinEvery {
			p.next = m.after(now, rejoinEvery)
		}
	}
}

// renewLane begins to look for a lane in place of p's, which goes on meanwhile.
func (m *Machine) renewLane(p *peer, now int64) {
	p.renewBy, p.next = now+renewFor, m.after(now, rejoinEvery)
	if !m.Decides(p.ID) {
		p.next += yieldFor
	}
}

// renewing dials p for a lane in place of the one there is, or gives it up.
func (m *Machine) renewing(p *peer, now int64) {
	switch {
	case now >= p.renewBy:
		m.down(p, Dead, "it has not proved a token that is accepted here", now)
	case now >= p.next && !p.dialing && !m.left && len(p.Addrs) > 0:
		p.dialing, p.next = true, m.after(now, rejoinEvery)
		m.do(Dial{p.ID, p.Addrs, p.Found})
	}
}

// after is a time around d from now: nodes that lost a lane together do not dial together.
func (m *Machine) after(now, d int64) int64 { return now + d/2 + int64(m.gossip.random(int(d))) }

// rejoin dials one of the dead at a time, so that parts of a cluster find each other again.
func (m *Machine) rejoin(now int64) {
	if now < m.nextRejoin {
		return
	}
	m.nextRejoin = now + rejoinEvery
	for range m.ids {
		m.turn = (m.turn + 1) % len(m.ids)
		if p := m.peers[m.ids[m.turn]]; p.State == Dead && p.next <= now && !p.dialing {
			m.redial(p, now)
			return
		}
	}
}
