package deque

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type elem struct {
	n     int
	taken atomic.Bool
}

func (e *elem) Stale() bool { return e.taken.Load() }

// TestAgainstSlice compares random operations with the same on a slice.
func TestAgainstSlice(t *testing.T) {
	seed := rand.Uint64()
	t.Log("seed", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		var d Deque[*elem]
		var want []*elem
		check := func(what string, got, w []*elem) {
			t.Helper()
			if !slices.Equal(got, w) {
				t.Fatalf("%s: %d elements, want %d", what, len(got), len(w))
			}
		}
		next := 0
		for range 2000 {
			switch op := rnd.IntN(12); op {
			case 0, 1, 2, 3, 4:
				e := &elem{n: next}
				next++
				for len(want) > 0 && want[len(want)-1].Stale() {
					want = want[:len(want)-1]
				}
				want = append(want, e)
				if n, ok := d.Push(e); !ok || n != len(want) {
					t.Fatal(n, ok)
				}
			case 5, 6:
				e, ok := d.Pop()
				if ok != (len(want) > 0) || ok && e != want[len(want)-1] {
					t.Fatal("pop")
				}
				want = want[:max(len(want)-1, 0)]
			case 7:
				dst := make([]*elem, 1+rnd.IntN(20))
				least := 1 + rnd.IntN(3)
				n, busy := d.Steal(dst, least, rnd.IntN(2) == 0)
				k := min((len(want)+1)/2, len(dst))
				if len(want) < least {
					k = 0
				}
				if busy {
					t.Fatal("busy")
				}
				check("steal", dst[:n], want[:k])
				want = slices.Clone(want[k:])
			case 8:
				max, look := rnd.IntN(5), rnd.IntN(30)
				odd := func(e *elem) bool { return e.n%2 == 1 && !e.Stale() }
				var took, kept []*elem
				for i, e := range want {
					switch {
					case i < look && odd(e) && len(took) < max:
						took = append(took, e)
					case i < look && e.Stale():
					default:
						kept = append(kept, e)
					}
				}
				check("take", d.Take(nil, max, look, odd), took)
				want = kept
			case 9:
				drop := func(e *elem) bool { return e.n%5 == 0 }
				d.Filter(drop)
				want = slices.DeleteFunc(slices.Clone(want), drop)
			case 10:
				if len(want) > 0 {
					want[rnd.IntN(len(want))].taken.Store(true)
				}
				d.DropStale()
				for len(want) > 0 && want[len(want)-1].Stale() {
					want = want[:len(want)-1]
				}
				d.Trim()
			case 11:
				es := []*elem{{n: next}, {n: next + 1}}
				next += 2
				if !d.PushAll(es) {
					t.Fatal("push all")
				}
				want = append(want, es...)
			}
			n, _ := d.Len()
			e, ok := d.Oldest()
			if n != len(want) || ok != (n > 0) || ok && e != want[0] {
				t.Fatal("oldest", n, len(want))
			}
		}
	}
}

// TestConcurrent: what is pushed is taken once, whoever pops, steals or filters.
func TestConcurrent(t *testing.T) {
	const each, owners = 20000, 2
	var d Deque[*elem]
	var took [each * owners]atomic.Int32
	var left atomic.Int64
	left.Store(each * owners)
	count := func(e *elem) { took[e.n].Add(1); left.Add(-1) }
	var wg sync.WaitGroup
	for o := range owners {
		wg.Go(func() {
			for i := range each {
				d.Push(&elem{n: o*each + i})
				if i%3 == 0 {
					if e, ok := d.Pop(); ok {
						count(e)
					}
				}
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			var buf [16]*elem
			for left.Load() > 0 {
				n, _ := d.Steal(buf[:], 1, true)
				for _, e := range buf[:n] {
					count(e)
				}
			}
		})
	}
	wg.Wait()
	for i := range took {
		if n := took[i].Load(); n != 1 {
			t.Fatal(i, "taken", n, "times")
		}
	}
}

func TestBounds(t *testing.T) {
	var d Deque[*elem]
	e := &elem{}
	_, before := d.Len()
	d.Push(e)
	if d.Close() {
		t.Fatal("closed with an element")
	}
	d.Pop()
	if _, after := d.Len(); after == before {
		t.Fatal("a push and a pop left no trace")
	}
	if d.PushAll(make([]*elem, Max+1)) {
		t.Fatal("over Max")
	}
	for range 2 {
		if !d.Close() {
			t.Fatal("not closed")
		}
	}
	if _, ok := d.Push(e); ok || d.PushAll([]*elem{e}) {
		t.Fatal("pushed to a closed deque")
	}
}
