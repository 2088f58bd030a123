package steal

func (m *Machine) idle(e Idle, now int64) {
	m.apps = e.Apps
	was := m.free
	if m.free = e.Free; m.free == 0 || was > 0 {
		return // busy; or idle already, and probing or quiet
	}
	m.fails, m.quiet = 0, false
	m.hunt(now)
}

// hunt sends the next probe, or goes quiet when there were enough.
func (m *Machine) hunt(now int64) {
	if m.free == 0 || m.probe.peer != nil || m.quiet {
		return
	}
	if m.fails < probes && len(m.peers) > 0 {
		p := m.peers[m.draw(len(m.peers))]
		m.ask(p, false)
		m.probe = probe{p, p.asked, now}
		return
	}
	m.quiet, m.since = true, now
	for _, name := range m.life {
		if p := m.byName[name]; p != nil {
			m.ask(p, true)
		}
	}
}

// stir makes a quiet thief go on, as after the given number of failed probes: there is somebody new to ask.
func (m *Machine) stir(fails int, now int64) {
	if m.quiet {
		m.quiet, m.fails = false, fails
		m.hunt(now)
	}
}

// ask sends p a STEAL with a number of its own.
func (m *Machine) ask(p *peer, life bool) {
	m.seq++
	p.asked = m.seq
	m.send(p, Msg{Kind: Steal, Seq: m.seq, Life: life, Free: m.free, Apps: m.apps})
}

// failed ends the probe under way without a task.
func (m *Machine) failed(now int64) {
	m.probe = probe{}
	m.fails++
	m.hunt(now)
}

func (m *Machine) denied(p *peer, msg Msg, now int64) {
	if m.probe.peer != p || m.probe.seq != msg.Seq {
		return
	}
	m.do(Denied{p.name, msg.Load})
	m.failed(now)
}

// granted takes a GRANT in, whenever it comes, and confirms it each time.
func (m *Machine) granted(p *peer, msg Msg) {
	if msg.Seq > p.asked {
		return // I never asked
	}
	m.send(p, Msg{Kind: Ack, Seq: msg.Seq})
	if msg.Seq <= p.got {
		return
	}
	p.got = msg.Seq
	if m.probe.peer == p && m.probe.seq == msg.Seq {
		m.probe = probe{}
	}
	m.free, m.fails, m.quiet = 0, 0, false // the shell says when it is idle again
	m.do(RunTasks{p.name, msg.Tasks})
}

func (m *Machine) tickThief(now int64) {
	if m.probe.peer != nil && now-m.probe.at >= probeTimeout {
		m.failed(now)
	}
	if now-m.since >= reprobeAfter {
		m.stir(probes-1, now)
	}
}
