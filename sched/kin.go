package sched

import "sync/atomic"

// kin is what all tasks of one function under one root share, so that a task needs one pointer for both, and of a block of
// tasks only the first has it: the collector goes through fewer pointers, and writing them while it runs is dear.
type kin struct {
	// constant after construction
	fn   *Func
	root *Root // nil: not known yet
}

// noKin is that of a task that has been given to nobody.
var noKin kin

// kins remembers the kin of the functions that were submitted last under one root.
type kins [4]atomic.Pointer[kin]

// kin gives what f's tasks under r have. Where two functions fight for a place it is made anew, which is as good.
func (r *Root) kin(f *Func) *kin {
	at := &r.kins[f.spread()%uintptr(len(r.kins))]
	if k := at.Load(); k != nil && k.fn == f {
		return k
	}
	k := &kin{f, r}
	at.Store(k)
	return k
}

// rootless gives what f's tasks have before they are submitted.
func (f *Func) rootless() *kin {
	if k := f.lone.Load(); k != nil {
		return k
	}
	f.lone.CompareAndSwap(nil, &kin{fn: f})
	return f.lone.Load()
}
