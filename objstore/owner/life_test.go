package owner

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

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
