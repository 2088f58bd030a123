package registrar

import (
	"cmp"

	"github.com/kadrehq/kadre/internal/id"
)

// Times, in nanoseconds.
const (
	millisecond = 1_000_000
	leaseTime   = 6000 * millisecond // how long a renewal lasts, from its beginning
	renewEvery  = 1500 * millisecond
	drift       = 600 * millisecond  // that clocks may differ by over one lease
	retryAfter  = 300 * millisecond  // for answers to come
	pause       = 15 * millisecond   // after a refusal
	patience    = 8000 * millisecond // with a question of the shell
	hopeless    = 1000 * millisecond // with one for which too few registrars are up
	grace       = 4000 * millisecond // for a registrar that is down to come back
	settle      = 1000 * millisecond // between two changes
	changeRetry = 700 * millisecond
	scanEvery   = 1000 * millisecond
)

// Bounds.
const (
	maxOver    = 4096 // leases remembered to be over
	maxWatches = 1024
	litter     = 1024 // registers from which on empty ones are swept out
)

// LeaseTime is how long a name stays taken after its holder's node fell silent, at most, in nanoseconds.
const LeaseTime = leaseTime + drift

// An Action is what the shell has to do.
type Action interface{ action() }

// Send is a message to a peer. It may be lost.
type Send struct {
	To  Member
	Msg Message
}

// Done is the end of a question of the shell's.
type Done struct {
	Op     uint64
	Status Status
	Holder Holder // Granted, Taken, Silent: who has the name
}

// End is the end of an actor's hold on its name: the actor is to end now.
type End struct {
	Name  string
	Actor id.Actor
	Why   string
}

// Changed says who the registrars are from now on.
type Changed struct{ Config Config }

func (Send) action()    {}
func (Done) action()    {}
func (End) action()     {}
func (Changed) action() {}

// Status is how a question ended.
type Status uint8

// The ends of questions.
const (
	Granted     Status = iota + 1 // Find: Holder has the name; Claim: the actor has it
	Nobody                        // no living actor has it
	Taken                         // Holder has it
	Silent                        // Holder has it, on a node that does not answer; it is free again within LeaseTime, or that is back
	Unavailable                   // no majority of the registrars answered
	Full                          // the registrars keep as many names as they can
	Free                          // it is given back
)

// Machine is one node's part in keeping names: a proposer, a registrar where it is one, and a holder of names.
type Machine struct {
	self Member
	now  int64
	out  []Action
	loop []Message // to this node itself
	rnd  uint64

	cfg        Config    // that counts
	acc        *acceptor // this node's part in it; nil: none, or it has not started
	next       *acceptor // in one that does not count yet
	top        Conf      // the latest configuration started or adopted
	topStarted bool
	change     *change
	settled    int64 // when cfg changed
	startSent  int64
	quietUntil int64
	founded    uint32 // lines
	lostSince  int64  // when it was seen that too many registrars are gone for good; 0: they are not
	leaving    bool

	up     map[id.Node]uint64 // epochs of peers that are up
	epochs map[id.Node]uint64 // the highest epoch seen of each
	down   map[id.Node]int64  // since when

	ops       uint64
	round     uint64
	proposals map[uint64]*proposal
	order     []uint64 // of the proposals, oldest first

	held      map[string]held
	wishes    []*wish
	releasing map[string]id.Actor
	term      uint64
	leased    bool
	renewed   int64 // when the last renewal that counted began
	until     int64 // the lease's end; 0: no lease
	count     uint64
	renewing  *proposal
	over      map[Lease]bool
	watches   map[Lease]*watch
	scanned   int64
}

// New makes the machine of a node that knows no other one: it is the registrar of a line of its own. Seed is for its chance.
func New(self Member, seed uint64, now int64) *Machine {
	m := &Machine{self: self, now: now, rnd: seed | 1, ops: seed >> 8,
		up: map[id.Node]uint64{}, epochs: map[id.Node]uint64{self.Node: self.Epoch}, down: map[id.Node]int64{},
		proposals: map[uint64]*proposal{}, held: map[string]held{}, releasing: map[string]id.Actor{}, term: 1,
		over: map[Lease]bool{}, watches: map[Lease]*watch{}}
	m.cfg = Config{Conf: Conf{Genesis: Genesis{By: self}, Number: 1}, Members: []Member{self}}
	m.founded = 1
	m.top, m.topStarted = m.cfg.Conf, true
	m.acc = newAcceptor(self, m.cfg, nil)
	return m
}

// Tick lets time pass.
func (m *Machine) Tick(now int64) []Action {
	m.begin(now)
	return m.end()
}

// Busy says whether there is anything to wait for; otherwise ticks may be rare.
func (m *Machine) Busy() bool {
	return len(m.proposals)+len(m.wishes)+len(m.watches) > 0 || m.change != nil || m.next != nil || m.acc != nil && m.acc.wedged || m.lostSince != 0
}

// Holding says whether an actor of this node has a name, so that a lease is to be kept.
func (m *Machine) Holding() bool { return len(m.held) > 0 }

// Config is the configuration that counts.
func (m *Machine) Config() Config { return m.cfg }

// Up is a peer that can be reached from now on.
func (m *Machine) Up(now int64, peer Member) []Action {
	m.begin(now)
	m.up[peer.Node] = peer.Epoch
	m.epochs[peer.Node] = max(m.epochs[peer.Node], peer.Epoch)
	delete(m.down, peer.Node)
	m.tellNews(peer)
	return m.end()
}

// Down is a peer that cannot be reached any more; left says that it has ended for certain.
func (m *Machine) Down(now int64, node id.Node, left bool) []Action {
	m.begin(now)
	delete(m.up, node)
	if m.down[node] = m.now; left {
		delete(m.down, node)
	}
	return m.end()
}

// Leave says that this node is about to end: it is to be no registrar. Gone says when it is none.
func (m *Machine) Leave(now int64) []Action {
	m.begin(now)
	m.leaving, m.settled = true, 0
	if m.acc != nil && m.change == nil && len(m.up) > 0 && m.reachable() && m.now >= m.quietUntil {
		m.beginChange()
	}
	return m.end()
}

// Parted says, after Leave, whether nobody needs this node any more: it is no registrar, and has given its names back.
func (m *Machine) Parted() bool {
	return (!m.cfg.has(m.self) || len(m.up) == 0) && m.change == nil && len(m.releasing) == 0
}

// Receive takes a message.
func (m *Machine) Receive(now int64, from Member, msg Message) []Action {
	m.begin(now)
	m.receive(from, msg)
	return m.end()
}

func (m *Machine) receive(from Member, msg Message) {
	switch msg.Kind {
	case Query, Prepare, Accept, SealPrepare, SealAccept:
		for _, a := range []*acceptor{m.acc, m.next} {
			if a != nil && a.cfg.Conf == msg.Conf {
				m.send(from, a.answer(m.now, m.quietUntil, &msg))
				return
			}
		}
		if m.cfg.Conf.After(msg.Conf) {
			m.tellNews(from)
		}
	case Promise, Accepted:
		m.answered(from, &msg)
	case Refuse:
		m.answered(from, &msg)
		m.sealed(from, &msg)
	case SealPromise, SealAccepted:
		m.sealed(from, &msg)
	case Start:
		m.start(from, msg.Config, msg.State)
	case Started:
		m.heardStart(from, msg.Conf)
	case News:
		switch {
		case msg.Config.Conf.After(m.cfg.Conf):
			m.adopt(msg.Config)
		case m.cfg.Conf.After(msg.Config.Conf):
			m.tellNews(from)
		}
	}
}

// begin and end are what each step begins and ends with.
func (m *Machine) begin(now int64) {
	m.now = max(m.now, now)
	m.checkLease()
}

func (m *Machine) end() []Action {
	m.drain()
	m.retryProposals()
	m.holdLease()
	if m.renewing == nil && !m.leased {
		m.dropWishes(noQuorum)
	}
	m.tendWatches()
	m.scan()
	m.checkLost()
	m.tendConfig()
	m.tendStarts()
	m.drain()
	out := m.out
	m.out = nil
	return out
}

// drain takes the messages that the machine sent to itself.
func (m *Machine) drain() {
	for len(m.loop) > 0 {
		msg := m.loop[0]
		m.loop = m.loop[1:]
		m.receive(m.self, msg)
	}
	m.loop = nil
}

func (m *Machine) act(a Action) { m.out = append(m.out, a) }

func (m *Machine) send(to Member, msg Message) {
	if to == m.self {
		m.loop = append(m.loop, msg)
		return
	}
	m.act(Send{to, msg})
}

func (m *Machine) toRegistrars(msg Message) {
	for _, r := range m.cfg.Members {
		m.send(r, msg)
	}
}

// jitter is a chance amount below n.
func (m *Machine) jitter(n int64) int64 {
	m.rnd ^= m.rnd << 13
	m.rnd ^= m.rnd >> 7
	m.rnd ^= m.rnd << 17
	return int64(m.rnd>>1) % n
}

func compareLeases(a, b Lease) int { return cmp.Or(a.At.compare(b.At), cmp.Compare(a.Term, b.Term)) }
