package api

import (
	"reflect"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/sched"
)

const (
	// slabBytes is the memory of one slab: the collector keeps it as long as one of its calls is referred to.
	slabBytes = 4096
	// slabResults bounds the bytes of results that one forgotten Ref keeps alive.
	slabResults = 1024
	// mallocHeader is what the allocator puts before an object with pointers of that size.
	mallocHeader = 8
	// slabLeast is the number of calls below which a slab is not worth it.
	slabLeast = 8
)

// slab is a piece of memory for calls of one function whose arguments and results are small and hold no
// pointers. Its slots are handed out once, in order, and never reused.
type slab[A, R any] struct {
	next  atomic.Int32 // slots handed out; more than there are when it is used up
	calls []call[A, R]
}

// slabs are a function's slabs in use, one a lane, so that submitters seldom meet. A collection drops them: what
// nobody refers to any more is not to be kept by the slots that are left.
type slabs[A, R any] struct {
	n     int     // calls of one slab
	size  uintptr // of a call
	lanes [sched.Lanes]struct {
		at atomic.Pointer[slab[A, R]]
		_  [56]byte
	}
}

// newSlabs gives nil where calls are to have an allocation each.
func newSlabs[A, R any](o *proc.Options) *slabs[A, R] {
	if !o.Plain() || !pointerFree(reflect.TypeFor[A]()) || !pointerFree(reflect.TypeFor[R]()) {
		return nil
	}
	each := reflect.TypeFor[call[A, R]]().Size()
	n := (slabBytes - mallocHeader) / int(each)
	if size := int(reflect.TypeFor[R]().Size()); size > 0 {
		n = min(n, slabResults/size)
	}
	if n < slabLeast {
		return nil
	}
	s := &slabs[A, R]{n: n, size: each}
	sweeps.add(s.drop)
	return s
}

// pointerFree says whether the collector finds nothing in a value of type t.
func pointerFree(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Array:
		return t.Len() == 0 || pointerFree(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !pointerFree(t.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return t.Kind() >= reflect.Bool && t.Kind() <= reflect.Complex128
}

// call gives a slot that nobody has had.
func (s *slabs[A, R]) call(lane int) *call[A, R] {
	at := &s.lanes[lane].at
	if b := at.Load(); b != nil {
		if i := int(b.next.Add(1)); i <= len(b.calls) {
			return &b.calls[i-1]
		}
	}
	b := &slab[A, R]{calls: make([]call[A, R], s.n)}
	b.next.Store(1)
	at.Store(b) // who lost a race leaves some slots unused
	sweeps.arm()
	return &b.calls[0]
}

func (s *slabs[A, R]) drop() {
	for i := range s.lanes {
		s.lanes[i].at.Store(nil)
	}
}

// sweeps drops the slabs in use after each collection, as sync.Pool does with its contents.
var sweeps sweeper

type sweeper struct {
	mu    sync.Mutex
	drops []func()

	armed atomic.Bool
}

func (s *sweeper) add(drop func()) {
	s.mu.Lock()
	s.drops = append(s.drops, drop)
	s.mu.Unlock()
}

// arm has the next collection sweep.
func (s *sweeper) arm() {
	if s.armed.Load() || s.armed.Swap(true) {
		return
	}
	runtime.AddCleanup(new([64]byte), (*sweeper).sweep, s) // too large to share its memory with others
}

func (s *sweeper) sweep() {
	s.armed.Store(false)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, drop := range s.drops {
		drop()
	}
}
