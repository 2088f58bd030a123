package registrar

import (
	"maps"
	"slices"
)

// acceptor is a registrar's part in one configuration. It is made once for each and never made again: see Machine.top.
type acceptor struct {
	cfg         Config
	regs        map[string]*register
	bytes       int
	started     map[Member]bool // members known to have started
	established bool            // a majority has, so that the configuration counts

	wedged   bool  // the configuration is about to change
	since    int64 // when it was
	promised Ballot
	accepted Ballot
	next     *Config // accepted
	state    []Register
}

type register struct {
	promised, accepted Ballot
	value              Value
}

func newAcceptor(self Member, cfg Config, state []Register) *acceptor {
	a := &acceptor{cfg: cfg, regs: map[string]*register{}, started: map[Member]bool{self: true}}
	for _, r := range state {
		a.regs[r.Key] = &register{promised: r.Accepted, accepted: r.Accepted, value: r.Value}
		a.bytes += size(r.Key, &r.Value)
	}
	a.established = len(a.started) >= cfg.majority()
	return a
}

func size(key string, v *Value) int { return 150 + len(key) + len(v.Holder.Info) }

// answer is what the acceptor says to a proposer's message.
func (a *acceptor) answer(now, quietUntil int64, m *Message) Message {
	r := Message{Conf: m.Conf, Op: m.Op, Ballot: m.Ballot}
	refuse := func(why uint8, seen Ballot) Message {
		r.Kind, r.Why, r.Accepted = Refuse, why, seen
		return r
	}
	switch m.Kind {
	case SealPrepare:
		if m.Ballot.compare(a.promised) < 0 {
			return refuse(lowBallot, a.promised)
		}
		if !a.wedged {
			a.wedged, a.since = true, now
		}
		a.promised = m.Ballot
		r.Kind, r.Accepted, r.Config, r.State = SealPromise, a.accepted, a.next, a.state
		if a.next == nil {
			r.State = a.snapshot()
		}
		return r
	case SealAccept:
		if m.Ballot.compare(a.promised) < 0 {
			return refuse(lowBallot, a.promised)
		}
		if !a.wedged {
			a.wedged, a.since = true, now
		}
		a.promised, a.accepted, a.next, a.state = m.Ballot, m.Ballot, m.Config, m.State
		r.Kind = SealAccepted
		return r
	}
	if a.wedged {
		return refuse(wedged, Ballot{})
	}
	g := a.regs[m.Key]
	if g == nil && m.Kind != Query {
		if len(a.regs) >= maxRegisters || a.bytes > maxBytes {
			return refuse(full, Ballot{})
		}
		g = &register{}
		a.regs[m.Key] = g
		a.bytes += size(m.Key, &g.value)
	}
	switch m.Kind {
	case Query:
		r.Kind = Promise
		if g != nil {
			r.Accepted, r.Value = g.accepted, g.value
		}
	case Prepare:
		if m.Fresh && now < quietUntil {
			return refuse(quiet, Ballot{})
		}
		if m.Ballot.compare(g.promised) < 0 {
			return refuse(lowBallot, g.promised)
		}
		g.promised = m.Ballot
		r.Kind, r.Accepted, r.Value = Promise, g.accepted, g.value
	case Accept:
		if m.Ballot.compare(g.promised) < 0 {
			return refuse(lowBallot, g.promised)
		}
		a.bytes += size(m.Key, &m.Value) - size(m.Key, &g.value)
		g.promised, g.accepted, g.value = m.Ballot, m.Ballot, m.Value
		r.Kind = Accepted
	}
	return r
}

// snapshot is what the acceptor has accepted, in the order of the keys.
func (a *acceptor) snapshot() []Register {
	l := make([]Register, 0, len(a.regs))
	for _, k := range slices.Sorted(maps.Keys(a.regs)) {
		if g := a.regs[k]; g.accepted != (Ballot{}) {
			l = append(l, Register{Key: k, Accepted: g.accepted, Value: g.value})
		}
	}
	return l
}
