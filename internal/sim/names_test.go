package sim

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/actor/registrar"
	"github.com/kadrehq/kadre/internal/id"
)

// The cluster of these tests: nodes claim a few names, hold them for a while and give them back, while links break and heal,
// messages are lost, repeated and late, nodes crash, start anew, leave, and stand still. Never are there two living holders of
// a name. In the end the network is whole, and every name can be had.

const (
	nameNodes = 6
	nameKeys  = 3
	nameTick  = 100 * time.Millisecond
)

// hold is a living holder of a name.
type hold struct {
	node, life int
	actor      id.Actor
}

type namesWorld struct {
	t        testing.TB
	w        *World[[]byte]
	machines [nameNodes]*registrar.Machine
	stopped  [nameNodes]bool     // stands still
	late     [nameNodes][]func() // what came meanwhile
	joined   [nameNodes]bool     // it knows the line of the others
	living   [nameKeys]map[hold]bool
	asked    map[uint64]func(registrar.Done)
	next     uint64
	granted  int
	ended    int
	silent   int
	verdict  [nameNodes][nameNodes]bool // i takes j for down
	cut      map[[2]int]bool
	quiet    bool // no more faults
	clients  bool
	story    []string // what happened last
}

// note keeps a line of what happened, for a run that fails.
func (s *namesWorld) note(format string, args ...any) {
	s.story = append(s.story, fmt.Sprintf("%9.3fs ", s.w.Now().Seconds())+fmt.Sprintf(format, args...))
	s.story = s.story[max(0, len(s.story)-60):]
}

func (s *namesWorld) self(i int) registrar.Member {
	return registrar.Member{Node: id.Node(fmt.Sprint("n", i)), Epoch: uint64(s.w.Life(i))*100 + uint64(i)}
}

func newNamesWorld(t testing.TB, seed uint64, net Net) *namesWorld {
	s := &namesWorld{t: t, asked: map[uint64]func(registrar.Done){}, cut: map[[2]int]bool{}, clients: true}
	s.w = New(seed, nameNodes, net, func(to, from int, b []byte) {
		m, err := registrar.Parse(b[8:])
		if err != nil {
			t.Fatal(err)
		}
		life := int(b[0])
		s.on(to, func() {
			if s.w.Life(from) == life { // the network drops what an earlier start of a node has sent
				s.step(to, s.machines[to].Receive(s.now(), s.self(from), m))
			}
		})
	})
	for i := range s.living {
		s.living[i] = map[hold]bool{}
	}
	for i := range nameNodes {
		s.boot(i)
		s.joined[i] = true
	}
	return s
}

func (s *namesWorld) now() int64 { return int64(s.w.Now()) + 1_000_000_000_000 }

// on does f at node i now, or when it goes on.
func (s *namesWorld) on(i int, f func()) {
	if s.stopped[i] {
		s.late[i] = append(s.late[i], f)
		return
	}
	f()
}

// boot starts node i, which meets all others that it can reach.
func (s *namesWorld) boot(i int) {
	s.machines[i] = registrar.New(s.self(i), s.w.Rand.Uint64(), s.now())
	s.joined[i] = false
	for j := range nameNodes {
		s.verdict[i][j] = true
	}
	var tick func()
	tick = func() {
		s.on(i, func() { s.step(i, s.machines[i].Tick(s.now())) })
		s.w.On(i, nameTick, tick)
	}
	s.w.On(i, time.Duration(s.w.Rand.Int64N(int64(nameTick))), tick)
	s.w.On(i, time.Second, func() { s.client(i) })
	for j := range nameNodes {
		s.meet(i, j)
	}
}

// meet has both sides see each other up, soon, if they still can then.
func (s *namesWorld) meet(i, j int) {
	for _, e := range [][2]int{{i, j}, {j, i}} {
		a, b := e[0], e[1]
		life := s.w.Life(b)
		s.w.On(a, s.w.Delay(), func() {
			if a != b && s.w.Up(b) && s.w.Life(b) == life && !s.isCut(a, b) {
				s.on(a, func() {
					s.verdict[a][b] = false
					s.step(a, s.machines[a].Up(s.now(), s.self(b)))
				})
			}
		})
	}
}

// part has both sides take each other for down, at some time each, if nothing has changed by then.
func (s *namesWorld) part(i, j int) {
	for _, e := range [][2]int{{i, j}, {j, i}} {
		a, b := e[0], e[1]
		s.w.On(a, time.Duration(s.w.Rand.Int64N(int64(4*time.Second))), func() {
			if s.isCut(a, b) || !s.w.Up(b) {
				s.on(a, func() {
					s.verdict[a][b] = true
					s.step(a, s.machines[a].Down(s.now(), s.self(b).Node, false))
				})
			}
		})
	}
}

func (s *namesWorld) isCut(a, b int) bool { return s.cut[[2]int{min(a, b), max(a, b)}] }

func (s *namesWorld) setCut(a, b int, cut bool) {
	if a == b || s.isCut(a, b) == cut {
		return
	}
	s.cut[[2]int{min(a, b), max(a, b)}] = cut
	if cut {
		s.w.Cut(a, b)
		s.part(a, b)
	} else {
		s.w.Heal(a, b)
		s.meet(a, b)
	}
}

// step carries out what node i's machine wants.
func (s *namesWorld) step(i int, acts []registrar.Action) {
	for _, a := range acts {
		switch a := a.(type) {
		case registrar.Send:
			for j := range nameNodes {
				if s.self(j) == a.To {
					s.w.Send(i, j, a.Msg.Append([]byte{byte(s.w.Life(i)), 0, 0, 0, 0, 0, 0, 0}))
				}
			}
		case registrar.Done:
			if f := s.asked[a.Op]; f != nil {
				delete(s.asked, a.Op)
				f(a)
			}
		case registrar.End:
			k, _ := strconv.Atoi(a.Name)
			s.note("node %d loses name %d of %v: %s", i, k, a.Actor, a.Why)
			delete(s.living[k], hold{i, s.w.Life(i), a.Actor})
			s.ended++
		case registrar.Changed:
			s.joined[i] = true
			s.note("node %d goes by %v: %v", i, a.Config.Conf, a.Config.Members)
		}
	}
}

// lives notes a holder and looks for another one.
func (s *namesWorld) lives(k int, h hold) {
	s.living[k][h] = true
	var all []hold
	for o := range s.living[k] {
		if s.w.Up(o.node) && s.w.Life(o.node) == o.life && !s.stopped[o.node] {
			all = append(all, o)
		}
	}
	if len(all) > 1 {
		s.t.Errorf("after %v name %d has %d holders: %v\n%s", s.w.Now(), k, len(all), all, strings.Join(s.story, "\n"))
		for i := range nameNodes {
			s.t.Logf("%d: %v", i, s.machines[i])
		}
	}
}

// client is what node i does: it claims, looks and gives back, for ever.
func (s *namesWorld) client(i int) {
	again := func() { s.w.On(i, time.Duration(s.w.Rand.Int64N(int64(2*time.Second))), func() { s.client(i) }) }
	if !s.clients || s.stopped[i] || !s.joined[i] || s.w.Now() < 2*time.Second {
		again()
		return
	}
	k := s.w.Rand.IntN(nameKeys)
	name := strconv.Itoa(k)
	s.next++
	op := s.next
	if s.w.Rand.IntN(3) == 0 {
		s.asked[op] = func(registrar.Done) { again() }
		s.step(i, s.machines[i].Find(s.now(), op, name))
		return
	}
	life := s.w.Life(i)
	actor := id.Actor{byte(i), byte(life), byte(op), byte(op >> 8), byte(op >> 16)}
	s.asked[op] = func(d registrar.Done) {
		if d.Status == registrar.Silent {
			s.silent++
		}
		if d.Status != registrar.Granted {
			again()
			return
		}
		h := hold{i, life, actor}
		s.granted++
		s.note("node %d gets name %d for %v", i, k, actor)
		s.lives(k, h)
		s.w.On(i, time.Duration(s.w.Rand.Int64N(int64(12*time.Second))), func() {
			s.on(i, func() {
				delete(s.living[k], h)
				s.note("node %d gives name %d back of %v", i, k, actor)
				s.step(i, s.machines[i].Release(s.now(), 0, name, actor))
				again()
			})
		})
	}
	s.step(i, s.machines[i].Claim(s.now(), op, name, actor, []byte("info")))
}

// fault does something bad, and plans the next.
func (s *namesWorld) fault(restarts bool) {
	if s.quiet {
		return
	}
	r := s.w.Rand
	i, j := r.IntN(nameNodes), r.IntN(nameNodes)
	switch r.IntN(8) {
	case 0: // two halves
		in := r.IntN(1 << nameNodes)
		for a := range nameNodes {
			for b := range a {
				s.setCut(a, b, in>>a&1 != in>>b&1)
			}
		}
		s.note("halves: %b", in)
	case 1:
		s.setCut(i, j, true)
	case 2, 3:
		s.heal()
	case 4:
		if restarts && s.w.Up(i) && s.downs() == 0 { // the others replace it before the next one goes
			s.crash(i)
			s.w.After(time.Duration(1+r.IntN(15))*time.Second, func() { s.restart(i) })
		}
	case 5:
		if s.w.Up(i) && !s.stopped[i] {
			s.note("node %d stands still", i)
			s.stopped[i] = true
			s.w.On(i, time.Duration(r.Int64N(int64(20*time.Second))), func() { s.resume(i) })
		}
	case 6: // a wrong verdict
		if i != j && s.w.Up(i) && !s.stopped[i] && s.w.Up(j) {
			s.step(i, s.machines[i].Down(s.now(), s.self(j).Node, false))
			s.w.On(i, 2*time.Second, func() { s.meet(i, j) })
		}
	case 7:
		if s.w.Up(i) && !s.stopped[i] && restarts && s.downs() == 0 {
			s.step(i, s.machines[i].Leave(s.now()))
			s.w.On(i, 2*time.Second, func() { s.crash(i) })
			s.w.After(10*time.Second, func() { s.restart(i) })
		}
	}
	s.w.After(time.Duration(r.Int64N(int64(6*time.Second))), func() { s.fault(restarts) })
}

func (s *namesWorld) downs() (n int) {
	for i := range nameNodes {
		if !s.w.Up(i) {
			n++
		}
	}
	return n
}

func (s *namesWorld) crash(i int) {
	if !s.w.Up(i) {
		return
	}
	s.note("node %d crashes", i)
	s.w.Crash(i)
	s.stopped[i], s.late[i] = false, nil
	for j := range nameNodes {
		if j != i {
			s.part(j, i)
		}
	}
}

// restart brings node i up, in a network that is whole: one that cannot reach the others founds a cluster of its own.
func (s *namesWorld) restart(i int) {
	if s.w.Up(i) {
		return
	}
	s.heal()
	for j := range nameNodes {
		if j != i && s.w.Up(j) { // an Up of a later start comes after the Down of the one before
			s.on(j, func() { s.step(j, s.machines[j].Down(s.now(), s.self(i).Node, false)) })
		}
	}
	s.w.Restart(i)
	s.boot(i)
}

func (s *namesWorld) resume(i int) {
	s.note("node %d goes on", i)
	s.stopped[i] = false
	late := s.late[i]
	s.late[i] = nil
	s.step(i, s.machines[i].Tick(s.now())) // the clock is looked at first
	for _, f := range late {
		f()
	}
}

func (s *namesWorld) heal() {
	for a := range nameNodes {
		for b := range a {
			s.setCut(a, b, false)
		}
	}
}

// end makes everything well, and has every name claimed once more.
func (s *namesWorld) end() {
	s.quiet, s.clients = true, false
	s.heal()
	for i := range nameNodes {
		s.restart(i)
		if s.stopped[i] {
			s.resume(i)
		}
	}
	for i := range nameNodes {
		for j := range i {
			s.meet(i, j)
		}
	}
	s.run(60 * time.Second)
	had := 0
	for k := range nameKeys {
		for h := range s.living[k] {
			if s.w.Life(h.node) == h.life {
				s.step(h.node, s.machines[h.node].Release(s.now(), 0, strconv.Itoa(k), h.actor))
			}
		}
		clear(s.living[k])
	}
	s.run(5 * time.Second)
	for k := range nameKeys {
		s.next++
		i := s.w.Rand.IntN(nameNodes)
		s.asked[s.next] = func(d registrar.Done) {
			if had++; d.Status != registrar.Granted {
				s.t.Errorf("in the end node %d does not get name %d: status %d, %v; %v\n%s", i, k, d.Status, d.Holder, s.machines[i].Config(), strings.Join(s.story, "\n"))
			}
		}
		s.step(i, s.machines[i].Claim(s.now(), s.next, strconv.Itoa(k), id.Actor{255, byte(k)}, nil))
	}
	s.run(10 * time.Second)
	if had != nameKeys {
		s.t.Errorf("%d of %d claims were answered in the end", had, nameKeys)
	}
	conf := s.machines[0].Config()
	if len(conf.Members) != 5 {
		s.t.Errorf("in the end there are %d registrars", len(conf.Members))
		for i := range nameNodes {
			s.t.Logf("%d: %v", i, s.machines[i])
		}
	}
	for i := range nameNodes {
		if c := s.machines[i].Config(); c.Conf != conf.Conf {
			s.t.Errorf("node %d goes by %v, node 0 by %v", i, c.Conf, conf.Conf)
		}
	}
}

func (s *namesWorld) run(d time.Duration) {
	until := s.w.Now() + d
	if !s.w.Run(50_000_000, func() bool { return s.w.Now() >= until || s.t.Failed() }) {
		s.t.Fatal("nothing is planned any more")
	}
}

func TestNamesAreUnique(t *testing.T) {
	var granted, ended, silent, runs int
	Seeds(t, 60, func(t testing.TB, seed uint64) {
		net := Net{Min: time.Millisecond, Max: 60 * time.Millisecond, Loss: float64(seed%4) * 0.03, Dup: 0.05}
		s := newNamesWorld(t, seed, net)
		s.w.After(3*time.Second, func() { s.fault(seed%3 != 0) })
		s.run(3 * time.Minute)
		if t.Failed() {
			return
		}
		s.end()
		granted, ended, silent, runs = granted+s.granted, ended+s.ended, silent+s.silent, runs+1
	})
	t.Logf("%d runs: %d names were given, %d were lost by leases, %d claims met a silent holder", runs, granted, ended, silent)
	if granted < runs*20 || runs >= 50 && (ended == 0 || silent == 0) {
		t.Error("too little happened")
	}
}
