package member

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world runs machines over a network of its own: lanes that take no time, and whose frames come one tick later.
type world struct {
	t     *testing.T
	now   int64
	ms    map[id.Node]*Machine
	ids   []id.Node
	lanes map[id.Node]map[id.Node]uint64 // as each side sees it
	cut   map[[2]id.Node]bool            // nothing passes, nothing is told
	dead  map[id.Node]bool
	told  map[id.Node][]string // Ups and Downs
	todo  []func()
	seq   uint64
	rand  *rand.Rand
}

func newWorld(t *testing.T, seed uint64) *world {
	t.Logf("seed %d", seed)
	return &world{t: t, ms: map[id.Node]*Machine{}, lanes: map[id.Node]map[id.Node]uint64{}, cut: map[[2]id.Node]bool{},
		dead: map[id.Node]bool{}, told: map[id.Node][]string{}, rand: rand.New(rand.NewPCG(seed, 1))}
}

func (w *world) add(n id.Node, epoch uint64) {
	w.ms[n] = New(n, epoch, []string{string(n)}, nil)
	w.lanes[n] = map[id.Node]uint64{}
	if !slices.Contains(w.ids, n) {
		w.ids = append(w.ids, n)
	}
	delete(w.dead, n)
}

// kill takes a process away: its lanes break.
func (w *world) kill(n id.Node) {
	w.dead[n] = true
	for _, p := range w.ids {
		if l := w.lanes[p][n]; l != 0 && p != n {
			delete(w.lanes[p], n)
			if !w.cut[[2]id.Node{p, n}] {
				w.step(p, Lost{n, l, "broken"})
			}
		}
	}
}

func (w *world) part(a, b id.Node, cut bool) {
	w.cut[[2]id.Node{a, b}], w.cut[[2]id.Node{b, a}] = cut, cut
}

func (w *world) later(f func()) { w.todo = append(w.todo, f) }

func (w *world) step(n id.Node, ev Event) (ok bool) {
	if w.dead[n] {
		return false
	}
	for _, a := range slices.Clone(w.ms[n].Step(ev, w.now)) {
		switch a := a.(type) {
		case Accept:
			w.lanes[n][a.ID] = a.Lane
			ok = true
		case Cut:
			w.drop(n, a.ID, a.Lane)
		case Dial:
			w.later(func() { w.dial(n, a) })
		case Send:
			lane := w.lanes[n][a.ID]
			m, err := Parse(Append(nil, a.Msg))
			if err != nil {
				w.t.Fatal(err)
			}
			w.later(func() {
				if !w.cut[[2]id.Node{n, a.ID}] && w.lanes[a.ID][n] == lane {
					w.step(a.ID, Recv{n, lane, m})
				}
			})
		case Tell:
			if a.Kind != Changed {
				w.told[n] = append(w.told[n], fmt.Sprintf("%s%d%s", map[Kind]string{Up: "+", Down: "-"}[a.Kind], a.Info.Epoch, a.Info.ID))
			}
		}
	}
	return ok
}

// drop ends a lane on both sides.
func (w *world) drop(n, p id.Node, lane uint64) {
	if w.lanes[n][p] == lane {
		delete(w.lanes[n], p)
	}
	w.later(func() {
		if w.lanes[p][n] == lane && !w.cut[[2]id.Node{n, p}] {
			delete(w.lanes[p], n)
			w.step(p, Lost{n, lane, "cut"})
		}
	})
}

func (w *world) dial(n id.Node, a Dial) {
	p := a.ID
	switch {
	case w.dead[n]:
		return
	case w.dead[p]:
		w.step(n, Dialed{ID: p, Refused: true, Why: "refused"})
		return
	case w.cut[[2]id.Node{n, p}]:
		w.step(n, Dialed{ID: p, Why: "timeout"})
		return
	}
	w.seq++
	ln, bn := w.ms[n].Greeting(p)
	lp, bp := w.ms[p].Greeting(n)
	lane := w.seq
	atN := Offer{ID: p, Epoch: w.ms[p].Self().Epoch, Lane: lane, Last: lp, Bond: bp, Said: bn, Found: a.Found, Desc: Desc{Addrs: []string{string(p)}}}
	atP := Offer{ID: n, Epoch: w.ms[n].Self().Epoch, Lane: lane, Last: ln, Bond: bn, Said: bp, Found: a.Found, Desc: Desc{Addrs: []string{string(n)}}}
	first, second := [2]any{n, atN}, [2]any{p, atP}
	if !w.ms[n].Decides(p) {
		first, second = second, first
	}
	ok := w.step(first[0].(id.Node), first[1].(Offer))
	if ok && !w.step(second[0].(id.Node), second[1].(Offer)) {
		w.drop(second[0].(id.Node), first[0].(id.Node), lane)
		ok = false
	}
	w.step(n, Dialed{ID: p, OK: true})
}

func (w *world) run(d int64) {
	for end := w.now + d; w.now < end; w.now += TickEvery {
		todo := w.todo
		w.todo = nil
		w.rand.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
		for _, f := range todo {
			f()
		}
		for _, n := range w.ids {
			w.step(n, Tick{})
		}
	}
}

func (w *world) full(ids ...id.Node) {
	w.t.Helper()
	for _, n := range ids {
		if got := len(w.ms[n].Members()); got != len(ids)-1 {
			w.t.Fatalf("at %d ms %s sees %d of %d others", w.now/ms, n, got, len(ids)-1)
		}
		for _, p := range ids {
			if p != n && (w.lanes[n][p] == 0 || w.lanes[n][p] != w.lanes[p][n]) {
				w.t.Fatalf("lanes of %s and %s differ: %d, %d", n, p, w.lanes[n][p], w.lanes[p][n])
			}
		}
	}
}

func TestClusterFormsAndHeals(t *testing.T) {
	for seed := range uint64(20) {
		w := newWorld(t, seed)
		var ids []id.Node
		for i := range 9 {
			n := id.Node(fmt.Sprintf("n%d", i))
			ids = append(ids, n)
			w.add(n, 1)
			if i > 0 {
				w.step(n, Learn{ids[w.rand.IntN(i)], 1, []string{"x"}, FoundJoin})
			}
		}
		w.run(8 * sec)
		w.full(ids...)
		for _, n := range ids {
			if len(w.told[n]) != len(ids)-1 {
				t.Fatalf("%s was told %v", n, w.told[n])
			}
		}
		// One dies; all know at once.
		w.kill("n3")
		w.run(sec)
		live := slices.DeleteFunc(slices.Clone(ids), func(n id.Node) bool { return n == "n3" })
		w.full(live...)
		// It comes back with a new epoch.
		w.add("n3", 2)
		w.told["n3"] = nil
		w.step("n3", Learn{"n5", 1, []string{"x"}, FoundJoin})
		w.run(8 * sec)
		w.full(ids...)
		if l := w.told["n0"]; !reflect.DeepEqual(l[len(l)-2:], []string{"-1n3", "+2n3"}) {
			t.Fatalf("n0 was told %v", l)
		}
		// Halves, and one view again.
		for i, a := range ids {
			for j, b := range ids {
				if i < 4 && j >= 4 {
					w.part(a, b, true)
				}
			}
		}
		w.run(9 * sec)
		if got := len(w.ms["n0"].Members()); got != 3 {
			t.Fatalf("n0 sees %d in its half", got)
		}
		clear(w.cut)
		w.run(35 * sec)
		w.full(ids...)
		// Both sides of each pair saw the same.
		for _, a := range ids {
			for _, b := range ids {
				if x, y := w.count(a, b), w.count(b, a); a != "n3" && b != "n3" && x != y {
					t.Fatalf("%s saw %d changes of %s, which saw %d of it", a, x, b, y)
				}
			}
		}
	}
}

func (w *world) count(n, of id.Node) (c int) {
	for _, s := range w.told[n] {
		if id.Node(s[2:]) == of {
			c++
		}
	}
	return c
}

func TestOldEpochIsRefused(t *testing.T) {
	m := New("a", 1, nil, nil)
	step := func(ev Event) []Action { return slices.Clone(m.Step(ev, sec)) }
	step(Offer{ID: "b", Epoch: 5, Lane: 1})
	if a := step(Offer{ID: "b", Epoch: 4, Lane: 2}); len(a) != 1 || a[0].(Refuse).Lane != 2 {
		t.Fatalf("%v", a)
	}
	step(Offer{ID: "b", Epoch: 6, Lane: 3, Said: 1})
	step(Lost{"b", 1, "late"})
	if i, fence := m.Member("b"); i.State != Alive || i.Epoch != 6 || fence != 6 {
		t.Fatalf("%+v", i)
	}
	step(Recv{"b", 3, Bye{}})
	if a := step(Offer{ID: "b", Epoch: 6, Lane: 4}); len(a) != 1 {
		t.Fatalf("a node that left came back: %v", a)
	}
	if a := step(Learn{"b", 6, nil, FoundMember}); len(a) != 0 {
		t.Fatalf("a node that left is dialed: %v", a)
	}
	step(Learn{"b", 9, nil, FoundMember})                          // hearsay
	if a := step(Offer{ID: "b", Epoch: 5, Lane: 5}); len(a) != 1 { // a zombie
		t.Fatalf("hearsay lifted the fence: %v", a)
	}
}

func TestDuplicates(t *testing.T) {
	m := New("a", 1, nil, nil) // the lower ID decides
	step := func(ev Event) []Action { return slices.Clone(m.Step(ev, sec)) }
	step(Offer{ID: "b", Epoch: 5, Lane: 1})
	if a := step(Offer{ID: "b", Epoch: 5, Lane: 2}); a[0] != (Refuse{2, WhyDuplicate}) {
		t.Fatalf("%v", a)
	}
	a := step(Offer{ID: "b", Epoch: 5, Lane: 3, Last: 1, Bond: 1, Said: 1}) // it has lost lane 1
	if a[0] != (Cut{"b", 1, "replaced by a newer lane"}) || a[1] != (Accept{"b", 3, false}) || a[2].(Tell).Kind != Changed {
		t.Fatalf("%v", a)
	}
}

func TestStandingStillIsNotTheirSilence(t *testing.T) {
	m := New("a", 1, nil, nil)
	m.Step(Tick{}, sec)
	m.Step(Offer{ID: "b", Epoch: 5, Lane: 1}, sec)
	m.Step(Tick{}, 30*sec)
	if l := m.Members(); len(l) != 1 || l[0].State != Alive {
		t.Fatalf("%v", l)
	}
	for now := 30 * sec; now <= 35*sec; now += TickEvery {
		m.Step(Tick{}, now)
	}
	if l := m.Gone(); len(l) != 1 || l[0].State != Dead {
		t.Fatalf("%v", l)
	}
}

func TestViewIsBounded(t *testing.T) {
	m := New("a", 1, nil, nil)
	for i := range maxPeers + 10 {
		m.Step(Learn{id.Node(fmt.Sprint("n", i)), 1, nil, FoundMember}, sec)
	}
	if len(m.ids) != maxPeers {
		t.Fatalf("%d peers", len(m.ids))
	}
	if a := m.Step(Offer{ID: "z", Epoch: 1, Lane: 1}, sec); len(a) != 1 {
		t.Fatalf("%v", a)
	}
}

func FuzzParse(f *testing.F) {
	for _, m := range []Message{
		Beat{1, 2}, Bye{}, Update{Desc{1, 2, []string{"/ip4/1.2.3.4/tcp/5"}, []byte("meta"), []byte("load")}},
		Sync{true, Gossip{[]Claim{{"b", 7, 1, Alive, "", 9, []string{"x", "y"}}, {"c", 8, 2, Suspect, "b", 0, nil}}, nil}},
		Ping{1, Gossip{nil, []Load{{"b", 7, 3, []byte("busy")}}}}, Ack{Seq: 2}, PingReq{Seq: 3, Target: "c", Epoch: 4}, Nack{5}, Sum{6}, Pull{},
	} {
		f.Add(Append(nil, m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(Append(nil, m))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(m) {
			t.Errorf("%v became %v, %v", m, again, err)
		}
		New("a", 1, nil, nil).Step(Recv{"b", 1, m}, sec)
	})
}

// TestLanesAreRenewed has a lane replaced by one on which the peer has proved itself anew, and a peer put out that
// does not.
func TestLanesAreRenewed(t *testing.T) {
	for _, decides := range []bool{true, false} {
		self, other := id.Node("a"), id.Node("b")
		if !decides {
			self, other = other, self
		}
		m := New(self, 1, []string{"x"}, nil)
		offer := Offer{ID: other, Epoch: 1, Lane: 7, Found: FoundJoin, Desc: Desc{Addrs: []string{"y"}}}
		m.Step(offer, sec)
		now := 2 * sec
		m.Step(Renew{other}, now)
		dials := 0
		pass := func(d int64) (downs int) {
			for end := now + d; now < end; now += TickEvery {
				m.Step(Heard{other}, now)
				for _, a := range m.Step(Tick{}, now) {
					switch a := a.(type) {
					case Dial:
						dials++
					case Tell:
						if a.Kind == Down {
							downs++
						}
					}
				}
			}
			return downs
		}
		if pass(4 * sec); dials != 1 {
			t.Fatalf("%d dials under way", dials)
		}
		last, bond := m.Greeting(other)
		if last != 7 || bond != 7 {
			t.Fatalf("the hello names the lane %d and the bond %d", last, bond)
		}
		m.Step(Dialed{ID: other, Barred: true, Why: "another token"}, now)
		if pass(2 * sec); dials != 2 {
			t.Fatalf("%d dials after a refusal", dials)
		}
		second := offer
		second.Lane, second.Bond, second.Said = 8, 7, 7
		var got []Action
		for _, a := range m.Step(second, now) {
			if _, ok := a.(Send); !ok {
				got = append(got, a)
			}
		}
		if len(got) != 3 || got[0].(Cut).Lane != 7 || got[1].(Accept).Fresh || got[2].(Tell).Kind != Changed {
			t.Fatalf("a new lane: %+v", got)
		}
		m.Step(Dialed{ID: other, OK: true}, now)
		if downs := pass(2 * renewFor); downs != 0 || dials != 2 {
			t.Fatalf("%d Downs and %d dials after the new lane", downs, dials)
		}
		m.Step(Renew{other}, now)
		if downs := pass(renewFor + sec); downs != 1 {
			t.Fatalf("%d Downs of a peer that does not prove itself", downs)
		}
	}
}
