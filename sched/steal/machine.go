package steal

import (
	"cmp"
	"slices"
)

// Times, in the unit of now: nanoseconds.
const (
	// probeTimeout is when a probe without an answer counts as denied. A late GRANT is taken in all the same.
	probeTimeout = 500e6
	// reprobeAfter is how long a quiet thief trusts its lifelines alone; it also repeats them then.
	reprobeAfter = 1e9
	// grantRetry is when a GRANT without ACK is first repeated; the pause doubles up to grantRetryMax.
	grantRetry    = 200e6
	grantRetryMax = 5e9
)

// probes is how many random victims a thief asks before it goes quiet.
const probes = 2

// Machine is one node's part, as thief and as victim. Make it by New.
type Machine struct {
	self  Peer
	epoch uint64
	rand  uint64
	acts  []Action

	peers  []*peer // up, in the order of their names
	byName map[Peer]*peer
	fenced map[Peer]uint64 // the last epoch of each that is down

	// as thief
	free  uint32 // 0: busy
	apps  []string
	life  []Peer
	seq   uint64 // last used
	fails int    // probes in a row without a task
	quiet bool
	since int64 // of being quiet
	probe probe

	// as victim
	work    int     // queued tasks that others may have
	waiting []*peer // registered lifelines, longest first
}

// probe is the STEAL that is not answered yet; at no peer when there is none.
type probe struct {
	peer *peer
	seq  uint64
	at   int64
}

// peer is what the Machine knows of another node.
type peer struct {
	name  Peer
	epoch uint64

	asked uint64 // my last STEAL to it
	got   uint64 // its last GRANT that I took in

	// its last STEAL
	seq   uint64
	state state
	life  bool
	free  uint32
	apps  []string
	tasks []Task // granted
	sent  int64  // when the GRANT was last sent
	pause int64  // until it is sent again
}

type state uint8

// What became of a peer's last STEAL. See the drawing in doc.go.
const (
	none state = iota
	taking
	denied
	waiting
	granted
	done
)

// New makes the Machine of a node that starts under epoch.
func New(self Peer, epoch uint64) *Machine {
	return &Machine{self: self, epoch: epoch, byName: map[Peer]*peer{}, fenced: map[Peer]uint64{}}
}

// Step takes one event in at the time now, in nanoseconds, and gives what is to be done. The slice is the
// caller's.
func (m *Machine) Step(ev Event, now int64) []Action {
	m.acts = nil
	switch e := ev.(type) {
	case Idle:
		m.mix(e.Rand)
		m.idle(e, now)
	case HasWork:
		m.work = e.N
		m.feed()
	case PeerUp:
		m.up(e.Peer, e.Epoch, now)
	case PeerDown:
		m.mix(e.Rand)
		m.down(e.Peer, e.Epoch, now)
	case Lifelines:
		m.life = e.Peers
		m.stir(probes, now)
	case Recv:
		m.mix(e.Rand)
		m.recv(e.From, e.Msg, now)
	case Taken:
		m.taken(e, now)
	case Tick:
		m.mix(e.Rand)
		m.tick(now)
	}
	return m.acts
}

// Granted is how many tasks wait for their thieves' ACK.
func (m *Machine) Granted() (n int) {
	for _, p := range m.peers {
		n += len(p.tasks)
	}
	return n
}

func (m *Machine) do(a Action) { m.acts = append(m.acts, a) }

func (m *Machine) send(p *peer, msg Msg) {
	msg.Epoch, msg.To = m.epoch, p.epoch
	m.do(Send{p.name, msg})
}

func (m *Machine) mix(r uint64) { m.rand = (m.rand ^ r) * 0x9E3779B97F4A7C15 }

// draw gives a number below n from the randomness that the events brought.
func (m *Machine) draw(n int) int {
	m.rand = m.rand*6364136223846793005 + 1442695040888963407
	return int((m.rand >> 33) % uint64(n))
}

func (m *Machine) up(name Peer, epoch uint64, now int64) {
	if name == m.self || epoch <= m.fenced[name] {
		return
	}
	if old := m.byName[name]; old != nil {
		if old.epoch >= epoch {
			return
		}
		m.down(name, old.epoch, now)
	}
	p := &peer{name: name, epoch: epoch}
	m.byName[name] = p
	at, _ := slices.BinarySearchFunc(m.peers, name, func(p *peer, n Peer) int { return cmp.Compare(p.name, n) })
	m.peers = slices.Insert(m.peers, at, p)
	m.stir(probes-1, now)
}

func (m *Machine) down(name Peer, epoch uint64, now int64) {
	m.fenced[name] = max(m.fenced[name], epoch)
	p := m.byName[name]
	if p == nil || p.epoch > epoch {
		return
	}
	delete(m.byName, name)
	m.peers = slices.DeleteFunc(m.peers, func(x *peer) bool { return x == p })
	m.unwait(p)
	if len(p.tasks) > 0 {
		m.do(Requeue{p.tasks})
	}
	if m.probe.peer == p {
		m.failed(now)
	}
}

func (m *Machine) recv(from Peer, msg Msg, now int64) {
	p := m.byName[from]
	if p == nil || msg.Epoch != p.epoch || msg.To != m.epoch {
		return
	}
	switch msg.Kind {
	case Steal:
		m.asked(p, msg, now)
	case Ack:
		m.acked(p, msg)
	case Deny:
		m.denied(p, msg, now)
	case Grant:
		m.granted(p, msg)
	}
}

func (m *Machine) tick(now int64) {
	for _, p := range m.peers {
		if p.state == granted && now-p.sent >= p.pause {
			p.pause = min(2*p.pause, grantRetryMax)
			m.sendGrant(p, now)
		}
	}
	m.feed()
	m.tickThief(now)
}
