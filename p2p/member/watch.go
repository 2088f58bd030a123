package member

// recv takes a message of an accepted lane.
func (m *Machine) recv(p *peer, msg Message, now int64) {
	p.heard = now
	switch e := msg.(type) {
	case Ping:
		m.merge(p, e.Gossip, false, now)
		m.pinged(p, e.Seq)
	case Ack:
		m.merge(p, e.Gossip, false, now)
		m.acked(p, e.Seq, now)
	case PingReq:
		m.merge(p, e.Gossip, false, now)
		m.askedToPing(p, e, now)
	case Nack:
		m.nacked(p, e.Seq)
	case Gossip:
		m.merge(p, e, false, now)
	case Sum:
		if e.Hash != m.sum() {
			m.sync(p, true)
		}
	case Sync:
		m.merge(p, e.Gossip, true, now)
		if e.Reply {
			m.sync(p, false)
		}
	case Pull:
		m.send(p, Update{m.desc()})
	case Update:
		m.described(p, e.Desc)
		m.vouch(p, e.Desc, now)
		m.tell(Changed, p, "described itself anew")
	case Beat:
		m.beaten(p, e, now)
	case Bye:
		m.apply(p, Claim{ID: p.ID, Epoch: p.Epoch, Inc: p.inc, State: Left}, now)
	}
}

// described takes what p says of itself.
func (m *Machine) described(p *peer, d Desc) {
	p.Addrs, p.Meta, p.have = d.Addrs, d.Meta, digest(d)
	if d.Seq > p.loadSeq {
		p.Load, p.loadSeq = d.Load, d.Seq
	}
}

func (m *Machine) beaten(p *peer, e Beat, now int64) {
	if e.Now != 0 {
		m.send(p, Beat{Echo: e.Now})
	}
	if rtt := now - e.Echo; e.Echo != 0 && rtt >= 0 {
		p.RTT = rtt
	}
}

// tick lets time pass: lanes are beaten and watched, suspicions end, what is due is dialed, probed and spread.
func (m *Machine) tick(now int64) {
	if gap := now - m.lastTick; m.lastTick != 0 && gap > standsFor {
		m.stood(gap - standsFor)
	}
	m.lastTick = now
	m.gossip.n = 1
	for i := 0; i < len(m.ids); i++ {
		p := m.peers[m.ids[i]]
		if p.counts() {
			m.gossip.n++
		}
		m.judge(p, now)
		m.watch(p, now)
		if !p.up() && p.State != Known && now-p.since > forgetAfter && !p.dialing {
			m.forget(p.ID)
			i--
			continue
		}
		if p.State != Dead {
			m.redial(p, now)
		}
	}
	if m.left {
		return
	}
	m.rejoin(now)
	m.probing(now)
	m.sweep(now)
	m.chat(now)
}

// beat says something on a lane that brought nothing for a while. Where the other side was quicker its beat and the
// echo have shown both that the other lives; whose turn it is next is chance, so that both measure the round trip.
func (m *Machine) beat(p *peer, now int64) {
	switch {
	case p.beat == 0: // a new lane; the next beats of all lanes spread out
		p.beat = now + int64(m.gossip.random(int(beatEvery)))
	case p.RTT != 0 && now-p.heard < beatEvery:
		p.beat = p.heard + beatEvery + int64(m.gossip.random(int(beatSpread)))
		return
	default:
		p.beat = now + beatEvery
	}
	m.send(p, Beat{Now: now})
}

// watch looks after the lane to p.
func (m *Machine) watch(p *peer, now int64) {
	switch {
	case !p.up():
		return
	case p.lane == 0:
		if now-p.lost > alone {
			m.down(p, Dead, "it could not be reached from here", now)
		}
		return
	case now-p.heard > silentFor:
		lane := p.lane
		m.lost(p, now)
		m.do(Cut{p.ID, lane, "nothing came over it"})
		return
	}
	if p.renewBy != 0 {
		m.renewing(p, now)
	}
	if now >= p.beat {
		m.beat(p, now)
	}
	if p.sums > 0 && now >= p.nextSum {
		p.sums, p.nextSum = p.sums-1, now+sumEvery
		m.send(p, Sum{m.sum()})
	}
	m.pull(p, now)
}
