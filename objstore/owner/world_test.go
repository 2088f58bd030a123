package owner

import (
	"fmt"
	"math/rand/v2"
	"slices"

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
