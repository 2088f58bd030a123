package registrar

import (
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// TestSuccessorNeverStarts has two of three registrars agree with the third that it alone comes next, whereupon it starts anew,
// before it has begun: what it was to begin with is of no use to anybody. Names can be had again.
func TestSuccessorNeverStarts(t *testing.T) {
	one, two, three := member(1), member(2), member(3)
	conf := Conf{Genesis: Genesis{By: one}, Number: 2}
	cfg := &Config{Conf: conf, Members: []Member{one, two, three}}
	conf.Number = 3
	next := &Config{Conf: conf, Members: []Member{one}}
	again := Member{Node: one.Node, Epoch: 100}

	now := int64(1)
	all := map[id.Node]*Machine{again.Node: New(again, 1, now), two.Node: New(two, 2, now), three.Node: New(three, 3, now)}
	var done []Done
	var pump func(m *Machine, acts []Action)
	pump = func(m *Machine, acts []Action) {
		done = append(done, answers(acts)...)
		for _, a := range acts {
			if s, ok := a.(Send); ok {
				if to := all[s.To.Node]; to.self == s.To {
					pump(to, to.Receive(now, m.self, s.Msg))
				}
			}
		}
	}
	for _, m := range []*Machine{all[two.Node], all[three.Node]} {
		m.Up(now, one)
		m.Receive(now, one, Message{Kind: Start, Conf: cfg.Conf, Config: cfg})
		m.Receive(now, one, Message{Kind: Started, Conf: cfg.Conf})
		b := Ballot{Round: 9, By: one}
		m.Receive(now, one, Message{Kind: SealPrepare, Conf: cfg.Conf, Op: 1, Ballot: b})
		m.Receive(now, one, Message{Kind: SealAccept, Conf: cfg.Conf, Op: 1, Ballot: b, Config: next})
		m.Down(now, one.Node, false)
		if m.acc == nil || m.acc.next == nil {
			t.Fatal(m)
		}
	}
	for _, m := range all {
		for _, o := range all {
			if o != m {
				pump(m, m.Up(now, o.self))
			}
		}
	}
	for i := range 800 {
		now += 50 * millisecond
		if i == 600 {
			m := all[again.Node]
			pump(m, m.Claim(now, 7, "x", id.Actor{1}, nil))
		}
		for _, n := range []id.Node{again.Node, two.Node, three.Node} {
			pump(all[n], all[n].Tick(now))
		}
	}
	if len(done) != 1 || done[0].Op != 7 || done[0].Status != Granted {
		t.Errorf("the claim ends with %+v", done)
	}
	for _, m := range all {
		if m.cfg.Conf != all[two.Node].cfg.Conf || m.cfg.Conf.Era == 0 || len(m.cfg.Members) != 3 {
			t.Error(m)
		}
	}
}
