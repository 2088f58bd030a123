package member

import "fmt"

// hear notes a sign of life.
func (m *Machine) hear(p *peer, now int64) {
	p.heard = now
	if p.State == Suspect {
		p.State = Alive
		m.tell(Changed, p, "heard again")
	}
}

// recv takes a message of an accepted lane.
func (m *Machine) recv(p *peer, msg Message, now int64) {
	m.hear(p, now)
	switch e := msg.(type) {
	case Beat:
		if rtt := now - e.Echo - e.Held; e.Echo != 0 && e.Held >= 0 && rtt >= 0 {
			p.RTT = rtt
		}
		p.beat, p.beatAt = e.Now, now
	case List:
		for _, x := range e.Entries {
			m.learn(Learn{x.ID, x.Epoch, x.Addrs, FoundMember}, now)
		}
	case Update:
		p.Addrs, p.Meta = e.Addrs, e.Meta
		m.tell(Changed, p, "described itself anew")
	case Bye:
		m.down(p, Left, "left", now)
	}
}

// tick passes verdicts on silence, dials what is due and sends beats.
func (m *Machine) tick(now int64) {
	var stood int64
	if gap := now - m.lastTick; m.lastTick != 0 && gap > stallAfter {
		stood = gap
	}
	m.lastTick = now
	beat := now >= m.nextBeat
	if beat {
		m.nextBeat = now + beatEvery
	}
	for i := 0; i < len(m.ids); i++ {
		p := m.peers[m.ids[i]]
		if p.up() {
			p.heard += stood
			m.judge(p, now)
		}
		if !p.up() && p.State != Known && now-p.since > forgetAfter && !p.dialing {
			m.forget(p.ID)
			i--
			continue
		}
		m.redial(p, now)
		if beat && p.lane != 0 {
			b := Beat{Now: now}
			if p.beat != 0 {
				b.Echo, b.Held = p.beat, now-p.beatAt
			}
			m.do(Send{p.ID, b})
		}
	}
	if now >= m.nextPull {
		m.nextPull = now + pullEvery
		m.pull()
	}
}

// judge looks at how long p was silent.
func (m *Machine) judge(p *peer, now int64) {
	switch silent := now - p.heard; {
	case silent >= deadAfter:
		m.down(p, Dead, fmt.Sprintf("silent for %d ms", silent/ms), now)
	case silent >= suspectAfter && p.State == Alive:
		p.State = Suspect
		m.tell(Changed, p, fmt.Sprintf("silent for %d ms", silent/ms))
	}
}

// pull tells the next peer in turn of all the others: what a lost list left out is made good.
func (m *Machine) pull() {
	for range m.ids {
		m.turn = (m.turn + 1) % len(m.ids)
		if p := m.peers[m.ids[m.turn]]; p.lane != 0 {
			m.sendView(p)
			return
		}
	}
}
