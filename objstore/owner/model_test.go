package owner

import (
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// world drives a table as a process and its cluster would: tasks that run on nodes, copies that are pulled,
// processes that borrow and die, nodes that die, messages that arrive late and twice. It knows the slow way who
// refers to what.
type world struct {
	r     *rand.Rand
	t     *Table
	seen  map[string]bool // transitions
	trace []answered

	ids    []id.Object
	specs  map[id.Object]spec
	local  map[id.Object]int
	borrow map[id.Object]map[id.Addr]bool
	sealed map[id.Object]map[uint32]bool // attempts that were accepted
	wanted map[id.Object]bool            // without an answer yet
	gone   map[id.Object]bool            // forgotten
	given  map[id.Object]bool            // up: it cannot be made again

	nodes []map[id.Object]uint32 // each node's arena: the attempt of each copy
	execs []exec
	late  []Event // on their way to the owner
	calm  bool    // nothing bad happens any more
}

type answered struct {
	ev   Event
	acts []Action
}

type spec struct {
	put     bool
	inline  bool
	args    []id.Object
	further int       // objects that it makes beside its result
	of      id.Object // it is one of those of that
}

// exec is an attempt that runs somewhere.
type exec struct {
	id      id.Object
	attempt uint32
	node    int
}

func nodeID(n int) id.Node { return id.Node('a' + rune(n)) }

func (w *world) state(o id.Object) State {
	i, _ := w.t.Info(o)
	return i.State
}

func (w *world) attempt(o id.Object) uint32 {
	i, _ := w.t.Info(o)
	return i.Attempt
}

// referenced is what the table is to know, found by looking at everything.
func (w *world) referenced(o id.Object) bool {
	if w.local[o] > 0 || len(w.borrow[o]) > 0 {
		return true
	}
	for p, s := range w.specs {
		if !w.gone[p] && w.state(p) == StatePending && slices.Contains(s.args, o) && w.state(o) != 0 {
			return true
		}
	}
	return false
}

// step gives the table an event, checks the answer, and does what it asks for.
func (w *world) step(ev Event) error {
	before := map[id.Object]Info{}
	for _, o := range w.ids {
		before[o], _ = w.t.Info(o)
	}
	acts := w.t.Step(ev, 0)
	w.trace = append(w.trace, answered{ev, acts})
	if err := w.t.check(); err != nil {
		return err
	}
	for _, o := range w.ids {
		from, to := before[o].State, w.state(o)
		if from != 0 && to != 0 && from != to {
			w.seen[from.String()+" -> "+to.String()] = true
		}
	}
	for _, a := range acts {
		if err := w.act(a, before); err != nil {
			return fmt.Errorf("%#v: %w", a, err)
		}
	}
	return nil
}

func (w *world) act(a Action, before map[id.Object]Info) error {
	switch a := a.(type) {
	case Ready:
		delete(w.wanted, a.ID)
		i, ok := w.t.Info(a.ID)
		if ok && i.State == StateReady && before[a.ID].State == StatePending {
			if of := w.specs[a.ID].of; of != (id.Object{}) {
				if oi, _ := w.t.Info(of); i.Attempt != oi.Attempt {
					return fmt.Errorf("attempt %d of %v came with attempt %d", i.Attempt, of, oi.Attempt)
				}
				return nil
			}
			if w.sealed[a.ID][i.Attempt] || i.Attempt != before[a.ID].Attempt {
				return fmt.Errorf("attempt %d sealed twice, or fenced", i.Attempt)
			}
			w.sealed[a.ID][i.Attempt] = true
		}
	case Lost:
		delete(w.wanted, a.ID)
		for n := range w.nodes {
			if _, ok := w.nodes[n][a.ID]; ok && slices.Contains(before[a.ID].Holders, nodeID(n)) {
				return fmt.Errorf("lost although node %d has it", n)
			}
		}
	case Remake:
		if w.specs[a.ID].put && before[a.ID].State != StatePending {
			return fmt.Errorf("a put cannot be made again")
		}
		if w.given[a.ID] && before[a.ID].State != StatePending {
			return fmt.Errorf("it was given up")
		}
		if w.specs[a.ID].of != (id.Object{}) {
			return fmt.Errorf("it has no task of its own")
		}
		w.start(a.ID, a.Attempt)
	case GiveUp:
		if w.given[a.ID] {
			return fmt.Errorf("given up twice")
		}
		w.given[a.ID] = true
	case Refuse:
		return w.free(a.ID, a.Attempt, a.Node, before)
	case Free:
		for _, n := range a.Nodes {
			if err := w.free(a.ID, a.Attempt, n, before); err != nil {
				return err
			}
		}
	case ReleaseContained:
		for _, o := range a.IDs {
			if w.local[o]--; w.local[o] < 0 {
				return fmt.Errorf("%v released too often", o)
			}
			if err := w.step(Unhold{o}); err != nil {
				return err
			}
		}
	case Forget:
		if w.referenced(a.ID) {
			return fmt.Errorf("forgotten while referenced")
		}
		if w.wanted[a.ID] {
			return fmt.Errorf("forgotten without an answer")
		}
		w.gone[a.ID] = true
	}
	return nil
}

// free deletes a copy. The accepted one must not go while somebody refers to it, unless the object is just made again.
func (w *world) free(o id.Object, attempt uint32, n id.Node, before map[id.Object]Info) error {
	if i, _ := w.t.Info(o); i.State == StateReady && slices.Contains(i.Holders, n) {
		return fmt.Errorf("the copy on %s is on record", n)
	}
	if b := before[o]; b.State == StateReady && b.Attempt == attempt && slices.Contains(b.Holders, n) && w.referenced(o) && w.state(o) != StatePending && w.attempt(o) == attempt {
		return fmt.Errorf("the data is referenced")
	}
	arena := w.nodes[n[0]-'a']
	if got, ok := arena[o]; ok && got == attempt {
		delete(arena, o)
	}
	return nil
}

func (w *world) start(o id.Object, attempt uint32) {
	w.execs = append(w.execs, exec{o, attempt, w.r.IntN(len(w.nodes))})
	if !w.calm && w.r.IntN(20) == 0 { // a steal that went wrong: it runs twice
		w.execs = append(w.execs, exec{o, attempt, w.r.IntN(len(w.nodes))})
	}
}

// submit makes an object from some that this process holds.
func (w *world) submit() error {
	o := obj(uint64(len(w.ids) + 1))
	s := spec{put: w.r.IntN(4) == 0, inline: w.r.IntN(4) == 0}
	if !s.put && w.r.IntN(3) == 0 {
		s.further = 1 + w.r.IntN(2)
	}
	for _, a := range w.ids {
		if !s.put && w.local[a] > 0 && len(s.args) < 3 && w.r.IntN(3) == 0 {
			s.args = append(s.args, a)
		}
	}
	w.ids, w.specs[o], w.sealed[o], w.borrow[o] = append(w.ids, o), s, map[uint32]bool{}, map[id.Addr]bool{}
	w.local[o]++
	if err := w.step(Made{ID: o, Remakeable: !s.put, Args: s.args, Spec: w.r.Int64N(1000)}); err != nil {
		return err
	}
	if err := w.step(Hold{o}); err != nil {
		return err
	}
	w.start(o, 0)
	return nil
}

// finish ends a running attempt, or finds that an argument has to be waited for.
func (w *world) finish(i int) error {
	e := w.execs[i]
	s := w.specs[e.id]
	failed := !w.calm && w.r.IntN(30) == 0
	for _, a := range s.args {
		ia, ok := w.t.Info(a)
		switch {
		case !ok || ia.State == StateLost || ia.State == StateFailed:
			failed = true
		case ia.State != StateReady || ia.Stored && len(ia.Holders) == 0:
			w.wanted[a] = true
			return w.step(Want{a})
		}
	}
	w.execs = slices.Delete(w.execs, i, i+1)
	if failed {
		w.send(Failed{e.id, e.attempt})
		return nil
	}
	m := Sealed{ID: e.id, Attempt: e.attempt, Stored: !s.inline, Size: 1, Hash: 2}
	if m.Stored {
		m.Node = nodeID(e.node)
		if had, ok := w.nodes[e.node][e.id]; ok && had > e.attempt {
			return nil // its arena has a later one
		}
		w.nodes[e.node][e.id] = e.attempt
	}
	for k := range s.further {
		f := Further{ID: e.id.Task().Object(uint32(k + 1)), Attempt: e.attempt, Stored: true, Nodes: []id.Node{nodeID(e.node)}, Size: 1, Again: true}
		if had, ok := w.nodes[e.node][f.ID]; ok && had > e.attempt || !w.calm && w.r.IntN(30) == 0 { // it makes fewer this time
			break
		}
		if !w.calm && w.r.IntN(30) == 0 {
			f.Size++ // or another one
		}
		w.nodes[e.node][f.ID] = e.attempt
		m.Further = append(m.Further, f)
	}
	for _, o := range w.ids { // references inside of the value: of what is referenced anyway
		if o != e.id && w.local[o] > 0 && len(m.Contains) < 2 && w.r.IntN(8) == 0 && o[14] < e.id[14] {
			m.Contains = append(m.Contains, o)
		}
	}
	w.send(m)
	return nil
}

// send puts an event on its way. The holds for what a value contains are taken on arrival, where what it
// contains is still referenced.
func (w *world) send(ev Event) {
	w.late = append(w.late, ev)
	if !w.calm && w.r.IntN(10) == 0 {
		w.late = append(w.late, ev)
	}
}

func (w *world) arrive(i int) error {
	ev := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	if s, ok := ev.(Sealed); ok {
		s.Contains = slices.DeleteFunc(slices.Clone(s.Contains), func(o id.Object) bool { return w.local[o] == 0 })
		for _, o := range s.Contains {
			w.local[o]++
			if err := w.step(Hold{o}); err != nil {
				return err
			}
		}
		return w.take(s)
	}
	return w.step(ev)
}

// take gives the table a result. What came with it is known, and held by it, where it was accepted; else who made it
// deletes it.
func (w *world) take(s Sealed) error {
	before, _ := w.t.Info(s.ID)
	accepted := before.State == StatePending && before.Attempt == s.Attempt
	for i := range s.Further {
		f := &s.Further[i]
		if accepted && w.specs[f.ID].of == (id.Object{}) {
			w.ids = append(w.ids, f.ID)
			w.specs[f.ID], w.sealed[f.ID], w.borrow[f.ID] = spec{of: s.ID}, map[uint32]bool{}, map[id.Addr]bool{}
		}
		if accepted {
			w.local[f.ID]++
			delete(w.gone, f.ID)
		}
	}
	if err := w.step(s); err != nil {
		return err
	}
	for _, f := range s.Further {
		in, ok := w.t.Info(f.ID)
		if n := f.Nodes[0]; !(ok && in.Attempt == f.Attempt && slices.Contains(in.Holders, n)) && w.nodes[n[0]-'a'][f.ID] == f.Attempt {
			delete(w.nodes[n[0]-'a'], f.ID)
		}
	}
	return nil
}

func (w *world) die(n int) error {
	for o := range w.nodes[n] {
		delete(w.nodes[n], o)
	}
	dead := id.Addr{Node: nodeID(n)}
	for _, b := range w.borrow {
		for a := range b {
			if a.Node == dead.Node {
				delete(b, a)
			}
		}
	}
	// Its messages are lost with it: a node that comes back is another one to the owner.
	w.late = slices.DeleteFunc(w.late, func(ev Event) bool {
		switch e := ev.(type) {
		case Sealed:
			return e.Stored && e.Node == dead.Node
		case Copied:
			return e.Node == dead.Node
		}
		return false
	})
	if err := w.step(AddrDead{dead}); err != nil {
		return err
	}
	// The process tries again what ran there, and what it has no outcome of.
	w.execs = slices.DeleteFunc(w.execs, func(e exec) bool { return e.node == n })
	for _, o := range w.ids {
		if i, ok := w.t.Info(o); ok && i.State == StatePending && w.specs[o].of == (id.Object{}) && !w.running(o, i.Attempt) {
			ev := Event(Retry{o})
			if w.specs[o].put || w.r.IntN(4) == 0 {
				ev = Failed{o, i.Attempt}
			}
			if err := w.step(ev); err != nil {
				return err
			}
		}
	}
	return nil
}

// running says whether an outcome of an attempt is still to come.
func (w *world) running(o id.Object, attempt uint32) bool {
	for _, e := range w.execs {
		if e.id == o && e.attempt == attempt {
			return true
		}
	}
	for _, ev := range w.late {
		switch e := ev.(type) {
		case Sealed:
			if e.ID == o && e.Attempt == attempt {
				return true
			}
		case Failed:
			if e.ID == o && e.Attempt == attempt {
				return true
			}
		}
	}
	return false
}

func (w *world) random() error {
	if len(w.ids) == 0 {
		return w.submit()
	}
	o := w.ids[w.r.IntN(len(w.ids))]
	live := !w.gone[o]
	addr := id.Addr{Node: nodeID(w.r.IntN(len(w.nodes))), Proc: id.Proc(1 + w.r.IntN(2))}
	switch n := w.r.IntN(100); {
	case n < 8 && len(w.ids) < 25:
		return w.submit()
	case n < 30 && len(w.execs) > 0:
		return w.finish(w.r.IntN(len(w.execs)))
	case n < 50 && len(w.late) > 0:
		return w.arrive(w.r.IntN(len(w.late)))
	case n < 60 && live:
		w.wanted[o] = true
		return w.step(Want{o})
	case n < 66 && live && w.referenced(o) && w.local[o] > 0: // only who has a reference hands it on
		w.borrow[o][addr] = true
		return w.step(Borrow{o, addr})
	case n < 74:
		delete(w.borrow[o], addr)
		return w.step(Release{o, addr})
	case n < 78 && live && w.local[o] > 0:
		w.local[o]++
		return w.step(Hold{o})
	case n < 84 && w.free1(o):
		w.local[o]--
		return w.step(Unhold{o})
	case n < 92: // a pull
		i, ok := w.t.Info(o)
		if to := w.r.IntN(len(w.nodes)); ok && len(i.Holders) > 0 {
			if _, has := w.nodes[to][o]; !has || w.nodes[to][o] < i.Attempt {
				w.nodes[to][o] = i.Attempt
			}
			w.send(Copied{o, w.nodes[to][o], nodeID(to)})
		}
	case n < 94 && !w.calm: // an eviction
		node := w.r.IntN(len(w.nodes))
		if _, has := w.nodes[node][o]; has {
			delete(w.nodes[node], o)
			return w.step(Dropped{o, nodeID(node)})
		}
	case n < 96 && !w.calm:
		return w.die(w.r.IntN(len(w.nodes)))
	case n < 97 && !w.calm:
		for _, b := range w.borrow {
			delete(b, addr)
		}
		return w.step(AddrDead{addr})
	case n < 98 && live && !w.calm:
		return w.step(Retry{o})
	}
	return nil
}

// free1 says whether this process holds an object beyond what values contain.
func (w *world) free1(o id.Object) bool {
	n := w.local[o]
	for _, r := range w.t.recs {
		for _, c := range r.contains {
			if c == o {
				n--
			}
		}
	}
	return n > 0
}

// end lets everything come to rest, then drops every reference.
func (w *world) end() error {
	w.calm = true
	rest := func() error {
		for range 100_000 {
			switch {
			case len(w.late) > 0:
				if err := w.arrive(0); err != nil {
					return err
				}
			case len(w.execs) > 0:
				if err := w.finish(w.r.IntN(len(w.execs))); err != nil {
					return err
				}
			default:
				return nil
			}
		}
		return fmt.Errorf("it never comes to rest: %v", w.execs)
	}
	if err := rest(); err != nil {
		return err
	}
	if len(w.wanted) > 0 {
		return fmt.Errorf("never answered: %v", w.wanted)
	}
	for _, o := range w.ids { // everything that is referenced can be had, or is lost for a reason
		if w.gone[o] {
			continue
		}
		w.wanted[o] = true
		if err := w.step(Want{o}); err != nil {
			return err
		}
	}
	if err := rest(); err != nil {
		return err
	}
	if len(w.wanted) > 0 {
		return fmt.Errorf("never answered: %v", w.wanted)
	}
	for _, o := range w.ids {
		for a := range 2 * len(w.nodes) {
			addr := id.Addr{Node: nodeID(a / 2), Proc: id.Proc(1 + a%2)}
			delete(w.borrow[o], addr)
			if err := w.step(Release{o, addr}); err != nil {
				return err
			}
		}
		for w.free1(o) {
			w.local[o]--
			if err := w.step(Unhold{o}); err != nil {
				return err
			}
		}
	}
	if w.t.Len() != 0 {
		return fmt.Errorf("%d records are left", w.t.Len())
	}
	for o, n := range w.local {
		if n != 0 {
			return fmt.Errorf("%v is held %d times", o, n)
		}
	}
	for n, arena := range w.nodes {
		for o, attempt := range arena {
			return fmt.Errorf("node %d still has attempt %d of %v", n, attempt, o)
		}
	}
	return nil
}

func runModel(seed uint64, seen map[string]bool) (trace []answered, err error) {
	w := &world{r: rand.New(rand.NewPCG(seed, 7)), t: NewTable(), seen: seen, specs: map[id.Object]spec{}, local: map[id.Object]int{},
		borrow: map[id.Object]map[id.Addr]bool{}, sealed: map[id.Object]map[uint32]bool{}, wanted: map[id.Object]bool{}, gone: map[id.Object]bool{}, given: map[id.Object]bool{}}
	if seed%2 == 0 { // too little lineage for all
		w.t.lines.most = 4 * (lineageEach + 500)
	}
	for range 3 {
		w.nodes = append(w.nodes, map[id.Object]uint32{})
	}
	for i := range 250 {
		if err := w.random(); err != nil {
			return w.trace, fmt.Errorf("step %d: %w", i, err)
		}
	}
	return w.trace, w.end()
}

func TestModel(t *testing.T) {
	first, n := uint64(1), uint64(1000)
	if s := os.Getenv("KADRE_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = v, 1
	}
	if testing.Short() {
		n = min(n, 200)
	}
	seen := map[string]bool{}
	for seed := first; seed < first+n; seed++ {
		if trace, err := runModel(seed, seen); err != nil {
			for _, l := range trace[max(0, len(trace)-12):] {
				t.Logf("%#v -> %#v", l.ev, l.acts)
			}
			t.Fatalf("KADRE_SEED=%d: %v", seed, err)
		}
	}
	if n > 1 {
		checkDrawing(t, seen)
	}
}

func TestSameEventsSameActions(t *testing.T) {
	for seed := range uint64(20) {
		a, _ := runModel(seed, map[string]bool{})
		b, _ := runModel(seed, map[string]bool{})
		if !reflect.DeepEqual(a, b) {
			t.Fatal("two runs of seed", seed, "differ")
		}
	}
}

// checkDrawing compares the transitions that happened with those that doc.go draws.
func checkDrawing(t *testing.T, seen map[string]bool) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{}
	names := map[string]string{"Pending": "pending", "Ready": "ready", "Failed": "failed", "Lost": "lost", "Freed": "freed"}
	for _, m := range regexp.MustCompile(`(?m)^//\s+(\w+)\s+-> (\w+)`).FindAllStringSubmatch(string(b), -1) {
		drawn[names[m[1]]+" -> "+names[m[2]]] = true
	}
	for s := range seen {
		if !drawn[s] {
			t.Errorf("%s happened and is not drawn", s)
		}
	}
	for d := range drawn {
		if !seen[d] {
			t.Errorf("%s is drawn and never happened", d)
		}
	}
}
