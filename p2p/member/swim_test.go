package member

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/sim"
)

// swarm is a simulated cluster in which all takes time: frames, dials and the nodes themselves, which can stand
// still. Dead nodes are silent: their lanes do not break.
type swarm struct {
	t       testing.TB
	w       *sim.World[func()]
	ms      []*Machine
	ids     []id.Node
	lanes   []map[int]uint64
	stands  []time.Duration // until when a node does not run
	downs   []map[int]time.Duration
	dead    map[int]time.Duration
	falsely int
	seq     uint64
	frames  int
	bytes   int
}

func newSwarm(t testing.TB, seed uint64, n int) *swarm {
	s := &swarm{t: t, dead: map[int]time.Duration{}}
	s.w = sim.New(seed, n, sim.Net{Min: 100 * time.Microsecond, Max: 3 * time.Millisecond}, func(_, _ int, f func()) { f() })
	for i := range n {
		s.ids = append(s.ids, id.Node(fmt.Sprintf("node-%03d", i)))
		s.ms = append(s.ms, New(s.ids[i], uint64(seed)<<8+1, []string{"x"}, []byte("meta")))
		s.lanes = append(s.lanes, map[int]uint64{})
		s.downs = append(s.downs, map[int]time.Duration{})
		s.stands = append(s.stands, 0)
	}
	for i := range n {
		s.w.After(time.Duration(s.w.Rand.Int64N(int64(100*time.Millisecond))), func() { s.tick(i) })
		if i > 0 {
			s.w.After(10*time.Millisecond, func() { s.step(i, Learn{s.ids[0], s.ms[0].Self().Epoch, []string{"x"}, FoundJoin}) })
		}
	}
	return s
}

func (s *swarm) index(n id.Node) int { return slices.Index(s.ids, n) }

// tick runs every TickEvery, and once when a node runs again after it stood still.
func (s *swarm) tick(i int) {
	if !s.w.Up(i) {
		return
	}
	if d := s.stands[i] - s.w.Now(); d > 0 {
		s.w.After(d, func() { s.tick(i) })
		return
	}
	s.step(i, Tick{})
	s.w.After(time.Duration(TickEvery), func() { s.tick(i) })
}

// runs does f on node i when it runs.
func (s *swarm) runs(i int, f func()) {
	if d := s.stands[i] - s.w.Now(); d > 0 {
		s.w.On(i, d, func() { s.runs(i, f) })
		return
	}
	f()
}

func (s *swarm) step(i int, ev Event) (ok bool) {
	if !s.w.Up(i) {
		return false
	}
	for _, a := range slices.Clone(s.ms[i].Step(ev, int64(s.w.Now())+1)) {
		switch a := a.(type) {
		case Accept:
			s.lanes[i][s.index(a.ID)] = a.Lane
			ok = true
		case Cut:
			s.cut(i, s.index(a.ID), a.Lane)
		case Dial:
			s.dial(i, a)
		case Send:
			s.send(i, s.index(a.ID), a.Msg)
		case Tell:
			if j := s.index(a.Info.ID); a.Kind == Down {
				if _, dead := s.dead[j]; !dead && s.w.Up(j) {
					s.falsely++
				}
				s.downs[i][j] = s.w.Now()
			}
		}
	}
	return ok
}

func (s *swarm) send(i, j int, msg Message) {
	lane, b := s.lanes[i][j], Append(nil, msg)
	s.frames++
	s.bytes += len(b)
	s.w.Send(i, j, func() {
		s.runs(j, func() {
			if s.lanes[j][i] != lane || lane == 0 {
				return
			}
			m, err := Parse(b)
			if err != nil {
				s.t.Fatal(err)
			}
			s.step(j, Recv{s.ids[i], lane, m})
		})
	})
}

func (s *swarm) cut(i, j int, lane uint64) {
	if s.lanes[i][j] == lane {
		delete(s.lanes[i], j)
	}
	s.w.Send(i, j, func() {
		s.runs(j, func() {
			if s.lanes[j][i] == lane {
				delete(s.lanes[j], i)
				s.step(j, Lost{s.ids[i], lane, "cut"})
			}
		})
	})
}

// dial agrees on a lane after some round trips, or finds nobody after a while.
func (s *swarm) dial(i int, a Dial) {
	j, done := s.index(a.ID), false
	s.w.On(i, 2*time.Second, func() {
		if !done {
			s.step(i, Dialed{ID: a.ID, Why: "time-out"})
		}
	})
	s.w.Send(i, j, func() {
		s.w.Send(j, i, func() {
			s.runs(i, func() {
				if s.w.Up(j) && !done && s.stands[j] <= s.w.Now() {
					done = true
					s.agree(i, j, a.Found)
				}
			})
		})
	})
}

func (s *swarm) agree(i, j int, f Found) {
	s.seq++
	li, bi := s.ms[i].Greeting(s.ids[j])
	lj, bj := s.ms[j].Greeting(s.ids[i])
	atI := Offer{s.ids[j], s.ms[j].Self().Epoch, s.seq, lj, bj, bi, f, s.ms[j].Desc()}
	atJ := Offer{s.ids[i], s.ms[i].Self().Epoch, s.seq, li, bi, bj, f, s.ms[i].Desc()}
	lane := s.seq
	x, y, first, second := i, j, atI, atJ
	if !s.ms[i].Decides(s.ids[j]) {
		x, y, first, second = j, i, atJ, atI
	}
	if s.step(x, first) && !s.step(y, second) {
		s.cut(y, x, lane)
	}
	s.step(i, Dialed{ID: s.ids[j], OK: true})
}

// run lets time pass until done, and says how long that took.
func (s *swarm) run(most time.Duration, done func() bool) time.Duration {
	t0 := s.w.Now()
	for !done() && s.w.Now()-t0 < most {
		for next := s.w.Now() + 10*time.Millisecond; s.w.Now() < next; {
			s.w.Run(1, func() bool { return false })
		}
	}
	return s.w.Now() - t0
}

func (s *swarm) whole() bool {
	for i, m := range s.ms {
		if s.w.Up(i) && len(m.Members()) != len(s.ms)-1-len(s.dead) {
			return false
		}
	}
	return true
}

// silence kills nodes and gives how long each verdict took.
func (s *swarm) silence(nodes ...int) (took []time.Duration) {
	for _, j := range nodes {
		s.w.Crash(j)
		s.dead[j] = s.w.Now()
	}
	for i := range s.downs {
		clear(s.downs[i])
	}
	s.run(20*time.Second, s.whole)
	for i, l := range s.downs {
		for j, at := range l {
			if d, dead := s.dead[j]; dead && s.w.Up(i) {
				took = append(took, at-d)
			}
		}
	}
	slices.Sort(took)
	if want := len(nodes) * (len(s.ms) - len(s.dead)); len(took) != want {
		s.t.Fatalf("%d of %d verdicts after 20 s, %d false ones before", len(took), want, s.falsely)
	}
	return took
}

func quantile(l []time.Duration, q float64) time.Duration { return l[int(q*float64(len(l)-1))] }

// verdicts are what came of a run: how long each took, and how many were on the living.
type verdicts struct {
	took    []time.Duration
	falsely int
}

// die forms a cluster of 40, has its nodes stand still half of the time for up to d each, and silences 12 of them.
func die(t testing.TB, seed uint64, d time.Duration) verdicts {
	s := newSwarm(t, seed, 40)
	formed := s.run(20*time.Second, s.whole)
	calm := 10 * time.Second
	if d > 0 {
		calm = 60 * time.Second
		for i := range s.ms {
			s.w.On(i, 0, func() { s.stall(i, d) })
		}
	}
	s.run(calm, func() bool { return false })
	before := s.falsely
	took := s.silence(s.w.Rand.Perm(40)[:12]...)
	t.Logf("still for up to %v: formed in %v, verdicts p50 %v p99 %v, worst %v, %d and %d false, %d frames",
		d, formed, quantile(took, 0.5), quantile(took, 0.99), took[len(took)-1], before, s.falsely-before, s.frames)
	return verdicts{took, s.falsely}
}

// TestSilentDeath has verdicts on 12 of 40 nodes as fast as they should be, and none on the living.
func TestSilentDeath(t *testing.T) { swift(t, 2, 0) }

// TestSlowNodesAreNotDead has nodes stand still half of the time, for up to a second each.
func TestSlowNodesAreNotDead(t *testing.T) {
	for _, d := range []time.Duration{300 * time.Millisecond, time.Second} {
		swift(t, 1, d)
	}
}

func swift(t *testing.T, runs int, d time.Duration) {
	sim.Seeds(t, runs, func(t testing.TB, seed uint64) {
		v := die(t, seed, d)
		p50, p99 := quantile(v.took, 0.5), quantile(v.took, 0.99)
		if v.falsely > 0 || d < time.Second && (p50 > 4*time.Second || p99 > 8*time.Second) {
			t.Errorf("verdicts p50 %v p99 %v, %d false", p50, p99, v.falsely)
		}
	})
}

// TestManyDeaths is the long form: KADRE_SWIM runs of each kind, always of the same seeds, and how their verdicts spread.
func TestManyDeaths(t *testing.T) {
	runs, _ := strconv.Atoi(os.Getenv("KADRE_SWIM"))
	if runs == 0 {
		t.Skip("KADRE_SWIM says how many runs")
	}
	for _, d := range []time.Duration{0, 300 * time.Millisecond, time.Second, 2 * time.Second} {
		var p50s, p99s, worst, all []time.Duration
		falsely := 0
		for seed := range runs {
			v := die(quiet{t}, uint64(seed)+1, d)
			p50s, p99s = append(p50s, quantile(v.took, 0.5)), append(p99s, quantile(v.took, 0.99))
			worst, all = append(worst, v.took[len(v.took)-1]), append(all, v.took...)
			if falsely += v.falsely; v.falsely > 0 {
				t.Errorf("KADRE_SEED=%d with %v: %d verdicts on the living", seed+1, d, v.falsely)
			}
		}
		for _, l := range [][]time.Duration{p50s, p99s, worst, all} {
			slices.Sort(l)
		}
		t.Logf("still for up to %v, %d runs: of all p50 %v p99 %v; p50 of a run %v, at most %v; its p99 %v, at most %v; worst %v; %d false", d, runs,
			quantile(all, 0.5), quantile(all, 0.99), quantile(p50s, 0.5), p50s[runs-1], quantile(p99s, 0.5), p99s[runs-1], worst[runs-1], falsely)
	}
}

// quiet is a test that says only what is wrong.
type quiet struct{ testing.TB }

func (quiet) Logf(string, ...any) {}

// stall has node i stand still for up to d, about half of the time.
func (s *swarm) stall(i int, d time.Duration) {
	still := time.Duration(s.w.Rand.Int64N(int64(d)))
	s.stands[i] = s.w.Now() + still
	s.w.On(i, still+time.Duration(s.w.Rand.Int64N(int64(d))), func() { s.stall(i, d) })
}

// TestHalvesHeal cuts 60 nodes into halves for 30 s.
func TestHalvesHeal(t *testing.T) {
	sim.Seeds(t, 1, func(t testing.TB, seed uint64) {
		s := newSwarm(t, seed, 60)
		formed := s.run(20*time.Second, s.whole)
		part := func(f func(a, b int)) {
			for i := range 30 {
				for j := 30; j < 60; j++ {
					f(i, j)
				}
			}
		}
		part(s.w.Cut)
		halves := s.run(30*time.Second, func() bool {
			for _, m := range s.ms {
				if len(m.Members()) != 29 {
					return false
				}
			}
			return true
		})
		s.run(30*time.Second-halves, func() bool { return false })
		part(s.w.Heal)
		healed := s.run(20*time.Second, s.whole)
		within := 0
		for i, l := range s.downs {
			for j := range l {
				if (i < 30) == (j < 30) {
					within++
				}
			}
		}
		t.Logf("formed in %v, halves after %v, healed in %v, %d Downs within a half", formed, halves, healed, within)
		if halves >= 30*time.Second || healed > 10*time.Second || within > 0 {
			t.Errorf("halves after %v, healed in %v, %d Downs within a half", halves, healed, within)
		}
	})
}
