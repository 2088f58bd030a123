package steal

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const second = int64(1e9)

// told prints actions as a story.
func told(as []Action) string {
	var b []string
	for _, a := range as {
		switch a := a.(type) {
		case Send:
			s := fmt.Sprintf("%v%d>%s", a.Msg.Kind, a.Msg.Seq, a.To)
			if a.Msg.Life {
				s += " life"
			}
			if a.Msg.Kind == Grant {
				s += fmt.Sprintf(" %q", a.Msg.Tasks)
			}
			b = append(b, s)
		case TakeTasks:
			b = append(b, fmt.Sprint("take ", a.Max, " for ", a.Peer, a.Seq))
		case Requeue:
			b = append(b, fmt.Sprintf("requeue %q", a.Tasks))
		case RunTasks:
			b = append(b, fmt.Sprintf("run %q", a.Tasks))
		case Moved:
			b = append(b, fmt.Sprintf("moved %q to %s@%d", a.Tasks, a.Peer, a.Epoch))
		case Denied:
			b = append(b, fmt.Sprint("denied by ", a.Peer, " load ", a.Load))
		}
	}
	return strings.Join(b, "; ")
}

type step struct {
	ev   Event
	at   int64
	want string
}

func play(t *testing.T, m *Machine, steps []step) {
	t.Helper()
	for i, s := range steps {
		if got := told(m.Step(s.ev, s.at)); got != s.want {
			t.Fatalf("step %d, %T: %q, want %q", i, s.ev, got, s.want)
		}
	}
}

func tasks(s ...string) (ts []Task) {
	for _, x := range s {
		ts = append(ts, Task(x))
	}
	return ts
}

func from(p Peer, epoch uint64, m Msg) Recv {
	m.Epoch, m.To = epoch, 7
	return Recv{From: p, Msg: m}
}

func TestThief(t *testing.T) {
	grant := Msg{Kind: Grant, Seq: 4, Tasks: tasks("x")}
	play(t, New("me", 7), []step{
		{Lifelines{[]Peer{"v", "gone"}}, 0, ""},
		{PeerUp{"v", 1}, 0, ""},
		{PeerUp{"me", 9}, 0, ""},
		{Idle{Free: 1000}, 0, "STEAL1>v"},
		{Idle{Free: 2000}, 0, ""},
		{from("v", 1, Msg{Kind: Deny, Seq: 1, Load: 3}), 0, "denied by v load 3; STEAL2>v"},
		{from("v", 1, Msg{Kind: Deny, Seq: 1}), 0, ""},         // a duplicate
		{Tick{}, second / 10, ""},                              // too early
		{Tick{}, second, "STEAL3>v life"},                      // the second probe timed out: quiet
		{from("v", 1, Msg{Kind: Deny, Seq: 2}), second, ""},    // late
		{Tick{}, 2 * second, "STEAL4>v"},                       // one probe now and then
		{from("v", 1, grant), 2 * second, `ACK4>v; run ["x"]`}, //
		{from("v", 1, grant), 2 * second, `ACK4>v`},            // its ACK was lost
		{from("v", 1, Msg{Kind: Grant, Seq: 5}), 0, ""},        // never asked for
		{from("v", 2, grant), 2 * second, ""},                  // of another epoch
		{Tick{}, 9 * second, ""},                               // busy
		{Idle{Free: 0}, 9 * second, ""},                        //
		{Idle{Free: 1000}, 9 * second, "STEAL5>v"},             //
		{PeerDown{Peer: "v", Epoch: 1}, 9 * second, ""},        // nobody left
		{from("v", 1, grant), 9 * second, ""},                  // fenced
		{PeerUp{"v", 1}, 9 * second, ""},                       // stays fenced
		{PeerUp{"v", 2}, 9 * second, "STEAL6>v"},               // somebody new
		{Tick{}, 10 * second, "STEAL7>v life"},                 // denied by silence: quiet
		{PeerUp{"v", 3}, 10 * second, "STEAL8>v"},              // a new start fences the old epoch
		{PeerDown{Peer: "v", Epoch: 3}, 10 * second, ""},       //
		{Idle{Free: 0}, 10 * second, ""},                       //
		{Idle{Free: 500}, 11 * second, ""},                     // nobody to ask
		{PeerUp{"w", 1}, 11 * second, "STEAL9>w"},              //
		{from("w", 1, Msg{Kind: Deny, Seq: 9}), 11 * second, "denied by w load 0"},
		{Lifelines{[]Peer{"w"}}, 11 * second, "STEAL10>w life"}, //
	})
}

func TestVictim(t *testing.T) {
	m := New("me", 7)
	ask := Msg{Kind: Steal, Seq: 1, Free: 1000}
	play(t, m, []step{
		{from("t", 1, ask), 0, ""}, // not up
		{PeerUp{"t", 1}, 0, ""},
		{HasWork{8}, 0, ""},
		{from("t", 1, ask), 0, "take 4096 for t1"},
		{from("t", 1, ask), 0, ""}, // the answer is on its way
		{Taken{"t", 1, tasks("a", "b")}, 0, `GRANT1>t ["a" "b"]`},
		{from("t", 1, ask), 1, `GRANT1>t ["a" "b"]`},
		{Tick{}, second / 10, ""},
		{Tick{}, second / 2, `GRANT1>t ["a" "b"]`},
		{from("t", 1, Msg{Kind: Steal, Seq: 2}), second / 2, `GRANT1>t ["a" "b"]`},
		{from("t", 1, Msg{Kind: Ack, Seq: 1}), second, `moved ["a" "b"] to t@1`},
		{from("t", 1, Msg{Kind: Ack, Seq: 1}), second, ""},
		{from("t", 1, ask), second, ""},
		{from("t", 1, Msg{Kind: Steal, Seq: 3}), second, "take 4096 for t3"},
		{Taken{"t", 3, nil}, second, "DENY3>t"},
		{from("t", 1, Msg{Kind: Steal, Seq: 3}), second, "DENY3>t"},
		{from("t", 1, Msg{Kind: Steal, Seq: 4}), second, "take 4096 for t4"},
		{PeerDown{Peer: "t", Epoch: 1}, second, ""},
		{Taken{"t", 4, tasks("c")}, second, `requeue ["c"]`}, // died before its GRANT
		{PeerUp{"t", 2}, second, ""},
		{from("t", 1, Msg{Kind: Steal, Seq: 5}), second, ""},
		{from("t", 2, ask), second, "take 4096 for t1"},
		{Taken{"t", 1, tasks("c")}, second, `GRANT1>t ["c"]`},
		{from("t", 1, Msg{Kind: Ack, Seq: 1}), second, ""},    // of the dead
		{PeerUp{"t", 3}, second, `requeue ["c"]`},             // started again before the verdict
		{PeerDown{Peer: "t", Epoch: 2}, second, ""},           // which comes now
		{from("t", 3, ask), 2 * second, "take 4096 for t1"},   //
		{Taken{"t", 9, tasks("d")}, second, `requeue ["d"]`},  // an answer to nobody
		{Taken{"t", 1, tasks("d")}, second, `GRANT1>t ["d"]`}, //
		{PeerDown{Peer: "t", Epoch: 3}, second, `requeue ["d"]`},
	})
	if n := m.Granted(); n != 0 {
		t.Fatal(n)
	}
}

func TestLifelines(t *testing.T) {
	life := Msg{Kind: Steal, Seq: 1, Life: true}
	play(t, New("me", 7), []step{
		{PeerUp{"s", 1}, 0, ""},
		{PeerUp{"t", 1}, 0, ""},
		{from("s", 1, life), 0, "take 4096 for s1"},
		{Taken{"s", 1, nil}, 0, ""}, // no DENY: it waits
		{from("t", 1, life), 0, "take 4096 for t1"},
		{Taken{"t", 1, nil}, 0, ""},
		{HasWork{1}, 0, ""}, // its own
		{HasWork{9}, 0, "take 3 for s1; take 3 for t1"},
		{Taken{"s", 1, nil}, 0, ""}, // nothing that fits: waits on
		{Taken{"t", 1, tasks("a", "b", "c")}, 0, `GRANT1>t ["a" "b" "c"]`},
		{Tick{}, 1, "take 3 for s1"},
		{Taken{"s", 1, tasks("d")}, 0, `GRANT1>s ["d"]`},
		{from("s", 1, Msg{Kind: Ack, Seq: 1}), 0, `moved ["d"] to s@1`},
		{from("t", 1, Msg{Kind: Ack, Seq: 1}), 0, `moved ["a" "b" "c"] to t@1`},
		{HasWork{9}, 0, ""}, // each lifeline is answered once
	})
}

func TestGrantIsCut(t *testing.T) {
	m := New("me", 7)
	m.Step(PeerUp{"t", 1}, 0)
	m.Step(from("t", 1, Msg{Kind: Steal, Seq: 1}), 0)
	big := []Task{make(Task, MaxBytes/2), make(Task, MaxBytes/2), Task("x")}
	as := m.Step(Taken{"t", 1, big}, 0)
	if len(as) != 2 || !reflect.DeepEqual(as[0], Requeue{big[2:]}) || len(as[1].(Send).Msg.Tasks) != 2 {
		t.Fatal(told(as))
	}
}
