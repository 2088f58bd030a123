package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/arena"
)

// What the rows of suite store work on.
const (
	storeBytes = 512 << 20
	smallSet   = 1000    // objects that fit into the CPU's caches
	largeSet   = 100_000 // objects that do not
	window     = 1000    // objects that are there while 1 KiB objects are put and older ones deleted
	bigArray   = 100 << 20
	seed       = 1 // of every random order
	page       = 4096
)

var storeJob = id.Job{'b', 'e', 'n', 'c', 'h'}

// objectOf is the name of object n.
func objectOf(n uint64) (o id.Object) {
	binary.BigEndian.PutUint64(o[:], n*0x9e3779b97f4a7c15)
	binary.BigEndian.PutUint64(o[8:], n)
	return o
}

// store has the arena alone, against the least that such a store could do.
func store() []Scenario {
	row := func(s Scenario) Scenario {
		s.Bench, s.Better, s.Samples, s.Allocs = "store", Lower, 9, true
		return s
	}
	return []Scenario{
		row(Scenario{
			Name: "put-1m", Unit: microseconds, N: 500,
			Work:    "creates an object of 1 MiB, copies bytes that change into it, seals it and deletes it",
			RefName: "copy of the same 1 MiB into the same mapping, its pages there",
			Setup:   withArena(putLarge),
		}),
		row(Scenario{
			Name: "array-100m", Unit: microseconds, N: 20,
			Work:  "makes room for an array of 100 MiB, seals it, releases it and deletes it; a write to each of its pages comes before the seal and is not counted",
			Setup: withArena(bigArrays),
		}),
		row(Scenario{
			Name: "put-1k", Unit: nanoseconds, N: 50_000,
			Work:    "creates an object of 1 KiB, copies bytes that change into it, seals it, and deletes the one that was put 1,000 puts ago",
			RefName: "six uncontended CAS, one xxhash of the ID and a copy of 1 KiB",
			Setup: withArena(func(a *arena.Arena) (*Run, error) {
				p := &putter{a: a}
				return &Run{Ours: p.side(nanoseconds), Ref: casHashCopy}, p.fill()
			}),
		}),
		row(Scenario{
			Name: "get-1k-set", Unit: nanoseconds, N: 100_000,
			Work:    "gets and releases one of 1,000 objects of 1 KiB, in random order",
			RefName: "two uncontended CAS and one xxhash of the ID",
			Setup: withArena(func(a *arena.Arena) (*Run, error) {
				s := newSet(smallSet)
				return &Run{Ours: s.getAll(a), Ref: s.casHash(nil)}, s.put(a)
			}),
		}),
		row(Scenario{
			Name: "get-100k-set", Unit: nanoseconds, N: 100_000,
			Work:    "gets and releases one of 100,000 objects of 1 KiB, in random order",
			RefName: "two uncontended CAS, one xxhash of the ID and one read of 64 B at random in 6 MiB",
			Setup: withArena(func(a *arena.Arena) (*Run, error) {
				s := newSet(largeSet)
				return &Run{Ours: s.getAll(a), Ref: s.casHash(make([]byte, 6<<20))}, s.put(a)
			}),
		}),
		row(Scenario{
			Name: "get-held", Unit: nanoseconds, N: 200_000,
			Work:    "gets and releases an object of 1 KiB that the process holds already",
			RefName: "one uncontended pair of CAS",
			Setup:   withArena(getHeld),
		}),
		{
			Bench: "store", Name: "first-touch-1g", Unit: "GiB/s", Better: Higher, N: 1, Samples: MinSamples,
			Work:    "makes room for an object of 1 GiB in a new arena, which commits its pages, and writes to each of its pages for the first time; the third time over, when the host of a virtual machine has given it the memory",
			RefName: "the same writes to a new memfd of 1 GiB, the third time over",
			Setup:   firstTouch,
		},
	}
}

// withArena sets a row up on an arena of its own, which must be empty in the end.
func withArena(setup func(a *arena.Arena) (*Run, error)) func(context.Context) (*Run, error) {
	return withArenaOf(arena.Config{Size: storeBytes}, setup)
}

func withArenaOf(cfg arena.Config, setup func(a *arena.Arena) (*Run, error)) func(context.Context) (*Run, error) {
	return func(context.Context) (*Run, error) {
		a, err := arena.Create(cfg)
		if err != nil {
			return nil, err
		}
		run, err := setup(a)
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		end := run.Close
		run.Extra = map[string]any{"backing": a.Backing().Kind}
		run.Close = func() (err error) {
			if end != nil {
				err = end()
			}
			a.DeleteJob(storeJob)
			u := a.Audit()
			if !u.Empty() {
				err = errors.Join(err, fmt.Errorf("the arena is not empty in the end:\n%v", u))
			}
			return errors.Join(err, u.Check(), a.Close())
		}
		return run, nil
	}
}

// put makes an object of a copy of b.
func put(a *arena.Arena, o id.Object, b []byte) error {
	w, err := a.Create(o, int64(len(b)), storeJob, 0)
	if err != nil {
		return err
	}
	copy(w.Bytes(), b)
	_, err = w.Seal(false)
	return err
}

func putLarge(a *arena.Arena) (*Run, error) {
	const size = 1 << 20
	from := make([]byte, size)
	random(from) // untouched pages are all one page of zeros, which is read faster
	seq := uint64(0)
	ours := func(_ context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			seq++
			from[seq%size]++
			o := objectOf(seq)
			if err := put(a, o, from); err != nil {
				return 0, err
			}
			if !a.Delete(o) {
				return 0, fmt.Errorf("object %d is not there", seq)
			}
		}
		return perOp(time.Since(begin), n, microseconds), nil
	}
	w, err := a.Create(objectOf(0), size, storeJob, 0) // the reference's place
	if err != nil {
		return nil, err
	}
	ref := func(_ context.Context, n int) (float64, error) {
		begin := time.Now()
		for i := range n {
			from[i%size]++
			copy(w.Bytes(), from)
		}
		return perOp(time.Since(begin), n, microseconds), nil
	}
	return &Run{Ours: ours, Ref: ref, Close: func() error { w.Abort(); return nil }}, nil
}

func bigArrays(a *arena.Arena) (*Run, error) {
	return &Run{Ours: func(_ context.Context, n int) (float64, error) {
		var took time.Duration
		for i := range n {
			begin := time.Now()
			w, err := a.Create(objectOf(1), bigArray, storeJob, 0)
			if err != nil {
				return 0, err
			}
			took += time.Since(begin)
			touch(w.Bytes(), byte(i))
			begin = time.Now()
			h, err := w.Seal(true)
			if err != nil {
				return 0, err
			}
			h.Release()
			if !a.Delete(objectOf(1)) {
				return 0, errors.New("the array is not there")
			}
			took += time.Since(begin)
		}
		return perOp(took, n, microseconds), nil
	}}, nil
}

// touch writes to each page.
func touch(b []byte, v byte) {
	for i := 0; i < len(b); i += page {
		b[i] = v
	}
}

// putter puts objects of 1 KiB and deletes those that are window puts old.
type putter struct {
	a    *arena.Arena
	lock *lock // nil: none
	from [1 << 10]byte
	ids  [window + 1]id.Object // of the latest
	base uint64                // of its objects' numbers
	seq  uint64
}

// at is where the name of one of the latest objects is.
func (p *putter) at(seq uint64) *id.Object { return &p.ids[seq%uint64(len(p.ids))] }

func (p *putter) fill() error {
	for range window {
		if err := p.put(); err != nil {
			return err
		}
	}
	return nil
}

func (p *putter) put() error {
	binary.LittleEndian.PutUint64(p.from[:], p.seq)
	o := p.at(p.seq)
	*o = objectOf(p.base + p.seq)
	p.seq++
	p.lock.lock()
	w, err := p.a.CreateAt(o, int64(len(p.from)), storeJob, 0)
	p.lock.unlock()
	if err != nil {
		return err
	}
	copy(w.Bytes(), p.from[:])
	_, err = w.Seal(false)
	return err
}

// turn puts an object and deletes one.
func (p *putter) turn() error {
	if err := p.put(); err != nil {
		return err
	}
	old := p.seq - 1 - window
	p.lock.lock()
	ok := p.a.DeleteAt(p.at(old))
	p.lock.unlock()
	if !ok {
		return fmt.Errorf("object %d is not there", old)
	}
	return nil
}

func (p *putter) side(unit string) Side {
	return func(_ context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			if err := p.turn(); err != nil {
				return 0, err
			}
		}
		return perOp(time.Since(begin), n, unit), nil
	}
}

// set is objects and the random order in which they are got.
type set struct {
	ids   []id.Object
	order []int32
	at    int
}

func newSet(n int) *set {
	r := rand.New(rand.NewPCG(seed, uint64(n)))
	s := &set{ids: make([]id.Object, n), order: make([]int32, 1<<17)}
	for i := range s.ids {
		s.ids[i] = objectOf(uint64(i))
	}
	for i := range s.order {
		s.order[i] = r.Int32N(int32(n))
	}
	return s
}

// put makes the objects.
func (s *set) put(a *arena.Arena) error {
	var b [1 << 10]byte
	for i, o := range s.ids {
		binary.LittleEndian.PutUint64(b[:], uint64(i))
		if err := put(a, o, b[:]); err != nil {
			return err
		}
	}
	return nil
}

// next is the next object in the random order.
func (s *set) next() (int32, *id.Object) {
	i := s.order[s.at]
	s.at = (s.at + 1) % len(s.order)
	return i, &s.ids[i]
}

func (s *set) getAll(a *arena.Arena) Side {
	return func(_ context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			if err := s.get(a, nil); err != nil {
				return 0, err
			}
		}
		return perOp(time.Since(begin), n, nanoseconds), nil
	}
}

// get gets and releases one, each under the lock where there is one.
func (s *set) get(a *arena.Arena, l *lock) error {
	i, o := s.next()
	l.lock()
	h, ok := a.GetAt(o)
	l.unlock()
	if !ok || len(h.Bytes()) != 1<<10 {
		return fmt.Errorf("object %d is not there", i)
	}
	l.lock()
	h.Release()
	l.unlock()
	return nil
}

func getHeld(a *arena.Arena) (*Run, error) {
	o := objectOf(0)
	if err := put(a, o, make([]byte, 1<<10)); err != nil {
		return nil, err
	}
	held, ok := a.Get(o)
	if !ok {
		return nil, errors.New("the object is not there")
	}
	ours := func(_ context.Context, n int) (float64, error) {
		begin := time.Now()
		for range n {
			h, ok := a.GetAt(&o)
			if !ok {
				return 0, errors.New("the object is not there")
			}
			h.Release()
		}
		return perOp(time.Since(begin), n, nanoseconds), nil
	}
	return &Run{Ours: ours, Ref: casPair, Close: func() error { held.Release(); return nil }}, nil
}
