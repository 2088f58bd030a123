package node

import (
	"sync"
	"sync/atomic"
)

// earlyEvents keeps what the network brings while the node is starting, in order. The network's goroutines are
// not made to wait: its own start may fail and wait for them.
type earlyEvents struct {
	opened atomic.Bool
	mu     sync.Mutex // held while what was kept is done; taken before all others
	kept   []func()
}

// maxEarly bounds what is kept; a peer has no reason to say much to a node that is just starting.
const maxEarly = 4096

// do does f, or keeps it until the node can; false when it does neither.
func (e *earlyEvents) do(f func()) bool {
	if e.isOpen() {
		f()
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.isOpen():
		f()
	case len(e.kept) < maxEarly:
		e.kept = append(e.kept, f)
	default:
		return false
	}
	return true
}

// open does what was kept; from then on nothing is.
func (e *earlyEvents) open() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.kept {
		f()
	}
	e.kept = nil
	e.opened.Store(true)
}

func (e *earlyEvents) isOpen() bool { return e.opened.Load() }
