package registrar

import (
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// answers gives what the shell's questions came to.
func answers(acts []Action) (l []Done) {
	for _, a := range acts {
		if d, ok := a.(Done); ok {
			l = append(l, d)
		}
	}
	return l
}

func one(t *testing.T, acts []Action, op uint64, want Status) Done {
	t.Helper()
	l := answers(acts)
	if len(l) != 1 || l[0].Op != op || l[0].Status != want {
		t.Fatalf("%+v, not %d for %d", l, want, op)
	}
	return l[0]
}

func TestAlone(t *testing.T) {
	m := New(member(1), 1, 1)
	a, b := id.Actor{1}, id.Actor{2}
	one(t, m.Find(2, 1, "x"), 1, Nobody)
	one(t, m.Claim(3, 2, "x", a, []byte("a")), 2, Granted)
	if d := one(t, m.Find(4, 3, "x"), 3, Granted); d.Holder.Actor != a || string(d.Holder.Info) != "a" {
		t.Error(d)
	}
	one(t, m.Claim(5, 4, "x", b, nil), 4, Taken)
	one(t, m.Claim(5, 5, "y", b, nil), 5, Granted)
	one(t, m.Release(6, 6, "x", b), 6, Free) // it is not b's
	one(t, m.Find(7, 7, "x"), 7, Granted)
	one(t, m.Release(8, 8, "x", a), 8, Free)
	one(t, m.Find(9, 9, "x"), 9, Nobody)
	one(t, m.Claim(10, 10, "x", b, nil), 10, Granted)
	if m.Busy() || !m.Holding() {
		t.Error(m)
	}
}

// TestLeaseRunsOut has a node stand still for longer than its lease: its actors end first of all.
func TestLeaseRunsOut(t *testing.T) {
	m := New(member(1), 1, 1)
	one(t, m.Claim(1, 1, "x", id.Actor{1}, nil), 1, Granted)
	for now := int64(1); now < 10*leaseTime; now += renewEvery {
		for _, a := range m.Tick(now) {
			t.Fatalf("after %d ms: %+v", now/millisecond, a)
		}
	}
	acts := m.Find(12*leaseTime, 2, "x")
	if e, ok := acts[0].(End); !ok || e.Name != "x" || e.Actor != (id.Actor{1}) {
		t.Fatalf("%+v", acts)
	}
	one(t, acts, 2, Nobody)
	one(t, m.Claim(12*leaseTime, 3, "x", id.Actor{2}, nil), 3, Granted)
}

// TestAcceptorsStartOnce repeats the messages that make a member a registrar after it has ceased to be one.
func TestAcceptorsStartOnce(t *testing.T) {
	m := New(member(2), 1, 1)
	m.Up(1, member(1))
	line := Conf{Genesis: Genesis{By: member(1)}}
	at := func(n uint64, who ...Member) *Config {
		c := line
		c.Number = n
		return &Config{Conf: c, Members: who}
	}
	state := []Register{{Key: "nx", Accepted: Ballot{Round: 3, By: member(1)}, Value: Value{Holder: Holder{Actor: id.Actor{9}}}}}
	cfg := at(2, member(1), member(2), member(3))
	m.Receive(2, member(1), Message{Kind: Start, Conf: cfg.Conf, Config: cfg, State: state})
	m.Receive(2, member(1), Message{Kind: Started, Conf: cfg.Conf})
	if m.acc == nil || m.acc.cfg.Conf != cfg.Conf {
		t.Fatal(m)
	}
	prepare := Message{Kind: Prepare, Conf: cfg.Conf, Op: 1, Key: "nx", Ballot: Ballot{Round: 9, By: member(3)}}
	if s, ok := m.Receive(3, member(3), prepare)[0].(Send); !ok || s.Msg.Kind != Promise || s.Msg.Value.Holder.Actor != (id.Actor{9}) {
		t.Fatal(s)
	}
	m.Receive(4, member(1), Message{Kind: Start, Conf: cfg.Conf, Config: cfg, State: nil}) // late
	if g := m.acc.regs["nx"]; g == nil || g.promised.Round != 9 {
		t.Fatal("it forgot a promise")
	}
	next := at(3, member(1))
	m.Receive(5, member(1), Message{Kind: News, Conf: next.Conf, Config: next})
	m.Receive(6, member(1), Message{Kind: Start, Conf: cfg.Conf, Config: cfg, State: state})
	if m.acc != nil || m.next != nil || m.cfg.Conf != next.Conf {
		t.Fatal(m)
	}
}
