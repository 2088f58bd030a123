package steal

import "slices"

// asked takes a STEAL in. A repeated one gets the answer again; an old one nothing.
func (m *Machine) asked(p *peer, msg Msg, now int64) {
	switch {
	case msg.Seq < p.seq || p.state == taking:
	case p.state == granted: // it may not know: no second GRANT before it has confirmed this one
		m.sendGrant(p, now)
	case msg.Seq == p.seq:
		if p.state == denied {
			m.send(p, Msg{Kind: Deny, Seq: p.seq, Load: m.load()})
		}
	default:
		m.unwait(p)
		p.seq, p.life, p.free, p.apps = msg.Seq, msg.Life, msg.Free, msg.Apps
		m.take(p, MaxTasks)
	}
}

func (m *Machine) take(p *peer, max int) {
	p.state = taking
	m.do(TakeTasks{p.name, p.seq, max, p.free, p.apps})
}

// taken turns the shell's answer into a GRANT, a DENY or a lifeline.
func (m *Machine) taken(e Taken, now int64) {
	p := m.byName[e.Peer]
	if p == nil || p.state != taking || p.seq != e.Seq { // the thief has died meanwhile
		m.requeue(e.Tasks)
		return
	}
	n, _ := fit(e.Tasks)
	m.requeue(e.Tasks[n:])
	switch {
	case n > 0:
		m.work = max(m.work-n, 0)
		p.state, p.tasks, p.pause = granted, e.Tasks[:n:n], grantRetry
		m.unwait(p)
		m.sendGrant(p, now)
	case p.life:
		p.state = waiting
		if !slices.Contains(m.waiting, p) {
			m.waiting = append(m.waiting, p)
		}
	default:
		p.state = denied
		m.send(p, Msg{Kind: Deny, Seq: p.seq, Load: m.load()})
	}
}

func (m *Machine) requeue(ts []Task) {
	if len(ts) > 0 {
		m.do(Requeue{ts})
	}
}

func (m *Machine) sendGrant(p *peer, now int64) {
	p.sent = now
	m.send(p, Msg{Kind: Grant, Seq: p.seq, Tasks: p.tasks})
}

func (m *Machine) acked(p *peer, msg Msg) {
	if p.state != granted || msg.Seq != p.seq {
		return
	}
	ts := p.tasks
	p.state, p.tasks = done, nil
	m.do(Moved{p.name, p.epoch, ts})
}

// feed gives work to the lifelines that wait, an equal part to each, and keeps one for this node.
func (m *Machine) feed() {
	if m.work < 2 {
		return
	}
	part := (m.work + len(m.waiting)) / (len(m.waiting) + 1)
	left := m.work - 1
	for _, p := range m.waiting {
		if left <= 0 {
			return
		}
		if p.state == waiting {
			n := min(part, left, MaxTasks)
			left -= n
			m.take(p, n)
		}
	}
}

func (m *Machine) unwait(p *peer) {
	m.waiting = slices.DeleteFunc(m.waiting, func(x *peer) bool { return x == p })
}

func (m *Machine) load() uint32 { return uint32(min(m.work, 1<<31)) }
