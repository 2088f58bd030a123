package chaos

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"

	"github.com/kadrehq/kadre/objstore/arena"
)

const (
	objects    = 200 // IDs that the victims share
	contested  = 199 // the one that several create at the same time
	contests   = 100 // how often they do between two looks at what they are told
	wanted     = 10  // the first of them, for which getters wait more often
	mostHeld   = 8   // objects that a goroutine holds at a time
	smallBytes = 3000
	largeBytes = 300 << 10
	mostTrim   = 4 << 20
)

// kept is an object that a goroutine holds.
type kept struct {
	*arena.Hold
	n int
}

// hoard is what one goroutine holds, over many steps.
type hoard []kept

// work does random things until the process dies.
func (l *life) work(r *rand.Rand) {
	var mine hoard
	for {
		l.resting.RLock()
		h, n, err := l.mischief(r)
		if h != nil {
			l.keep(h)
		}
		l.turnOver(&mine, h, n, err, r)
		l.resting.RUnlock()
	}
}

// get waits for one object after the other, until the process dies. It waits while others rest.
func (l *life) get(r *rand.Rand) {
	var mine hoard
	for {
		n := r.IntN(objects)
		if r.IntN(2) == 0 {
			n = r.IntN(wanted)
		}
		l.resting.RLock()
		l.mu.Lock()
		l.wants[n]++
		ctx := l.waiting
		l.mu.Unlock()
		l.resting.RUnlock()
		h, err := l.a.Wait(ctx, objectOf(n))
		l.mu.Lock()
		if l.wants[n]--; l.wants[n] == 0 {
			delete(l.wants, n)
		}
		if h != nil {
			l.held[h.Ident()]++
		}
		l.mu.Unlock()
		if ctx.Err() != nil && h == nil {
			err = nil
		}
		l.resting.RLock()
		l.turnOver(&mine, h, n, err, r)
		l.resting.RUnlock()
	}
}

func (l *life) keep(h *arena.Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held[h.Ident()]++
}

// turnOver adds what a step gave to a goroutine's hoard and lets some of it go. It checks all that it sees; what is
// wrong ends the process.
func (l *life) turnOver(mine *hoard, h *arena.Hold, n int, err error, r *rand.Rand) {
	if h != nil {
		*mine = append(*mine, kept{h, n})
		if h.Attempt() != uint32(n) || h.ID() != objectOf(n) {
			err = fmt.Errorf("chaos: object %d is %s, attempt %d", n, h.ID(), h.Attempt())
		} else if err == nil {
			err = check(h.Bytes(), n)
		}
	}
	for len(*mine) > 0 && err == nil && (len(*mine) > mostHeld || r.IntN(3) == 0) {
		i, last := r.IntN(len(*mine)), len(*mine)-1
		k := (*mine)[i]
		err = check(k.Bytes(), k.n)
		l.drop(k.Hold)
		(*mine)[i] = (*mine)[last]
		*mine = (*mine)[:last]
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

func (l *life) drop(h *arena.Hold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := h.Ident()
	if l.held[o]--; l.held[o] == 0 {
		delete(l.held, o)
	}
	h.Release()
}

// mischief is one random thing that a process may do.
func (l *life) mischief(r *rand.Rand) (*arena.Hold, int, error) {
	n := r.IntN(objects)
	switch int(l.deadly.Load()) {
	case arena.BeforeWake: // somebody is to wait for what it seals
		n = r.IntN(wanted)
		if l.a.Delete(objectOf(n)) {
			return nil, 0, nil
		}
		return l.create(r, n)
	case arena.RivalMarked: // somebody is to create the same at the same time
		return nil, 0, l.compete()
	}
	switch r.IntN(10) {
	case 0, 1, 2:
		return l.create(r, n)
	case 3, 4:
		if r.IntN(3) == 0 {
			l.a.Evict(objectOf(n), uint32(n))
		} else {
			l.a.Delete(objectOf(n))
		}
		return nil, 0, nil
	case 5:
		if slot, ok := l.a.ClaimCPU(); ok {
			l.a.ReleaseCPU(slot)
		}
		_, err := l.a.Trim(r.Int64N(1+r.Int64N(mostTrim)), r.Int64N(mostTrim))
		return nil, 0, err
	}
	h, ok := l.a.Get(objectOf(n))
	if !ok {
		return nil, 0, nil
	}
	return h, n, nil
}

// create makes an object, which may be empty, and which may have had another name before it is sealed.
func (l *life) create(r *rand.Rand, n int) (*arena.Hold, int, error) {
	size := r.Int64N(smallBytes)
	switch r.IntN(8) {
	case 0, 1:
		size = r.Int64N(largeBytes)
	case 2:
		size = 0
	}
	first := n
	if r.IntN(8) == 0 {
		first = r.IntN(objects)
	}
	w, err := l.a.Create(objectOf(first), size, killJob, uint32(first))
	if errors.Is(err, arena.ErrExists) || errors.Is(err, arena.ErrFull) {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, err
	}
	defer w.Abort() // does nothing once it is sealed
	if first != n {
		if err := w.Rename(objectOf(n), uint32(n)); errors.Is(err, arena.ErrExists) || errors.Is(err, arena.ErrFull) {
			return nil, 0, nil
		} else if err != nil {
			return nil, 0, err
		}
	}
	fill(w.Bytes(), n)
	if r.IntN(10) == 0 {
		return nil, 0, nil
	}
	h, err := w.Seal(r.IntN(2) == 0)
	return h, n, err
}

// compete creates one and the same empty object over and over, as other goroutines of the process do meanwhile.
func (l *life) compete() error {
	l.a.Delete(objectOf(contested))
	for range contests {
		w, err := l.a.Create(objectOf(contested), 0, killJob, contested)
		if err == nil {
			w.Abort()
		} else if !errors.Is(err, arena.ErrExists) && !errors.Is(err, arena.ErrFull) {
			return err
		}
	}
	return nil
}
