package arena

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

// model is the slow, obvious arena: what is sealed, what is being created, what is held.
type model struct {
	t       *testing.T
	c       *cluster
	r       *rand.Rand
	sealed  map[int]int64 // size
	writers map[int]*Writer
	holds   []held
}

type held struct {
	h *Hold
	n int
}

func TestModel(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint("seed=", seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 2))
			cfg := Config{Size: Granule * (1 + r.Int64N(40)), Entries: 1 + r.IntN(30)}
			if seed%3 == 0 {
				cfg.Entries = 1500
			}
			c := newArena(t, cfg, 1, 31, 255)
			c.startGenerations(t, genMask-uint32(r.IntN(5)))
			m := &model{t: t, c: c, r: r, sealed: map[int]int64{}, writers: map[int]*Writer{}}
			for step := range 3000 {
				m.step(c.all()[r.IntN(4)])
				if step%500 == 0 {
					m.audit()
				}
			}
			m.end()
		})
	}
}

func (m *model) step(a *Arena) {
	n := m.r.IntN(40)
	switch m.r.IntN(8) {
	case 0, 1:
		m.create(a, n)
	case 2:
		for n, w := range m.writers {
			m.finish(n, w)
			break
		}
	case 3, 4:
		h, ok := a.Get(oid(n))
		if size, want := m.sealed[n]; ok != want || ok && h.Size() != size {
			m.t.Fatalf("get %d: %v, want %v of %d bytes", n, ok, want, size)
		}
		if ok {
			m.holds = append(m.holds, held{h, n})
		}
	case 5:
		for range min(len(m.holds), 2) {
			m.release(m.r.IntN(len(m.holds)))
		}
	case 6:
		_, want := m.sealed[n]
		if ok := a.Delete(oid(n)); ok != want {
			m.t.Fatalf("delete %d: %v, want %v", n, ok, want)
		}
		delete(m.sealed, n)
	case 7:
		_, want := m.sealed[n]
		exists, ok := a.State(oid(n))
		if ok != want || exists != (want || m.writers[n] != nil) {
			m.t.Fatalf("state %d: %v %v", n, exists, ok)
		}
		if m.r.IntN(50) == 0 {
			if got := a.DeleteJob(id.Job{byte(n % 3)}); got != m.deleteJob(n%3) {
				m.t.Fatalf("delete job: %d", got)
			}
		}
	}
}

func (m *model) create(a *Arena, n int) {
	size := m.r.Int64N(5000)
	if m.r.IntN(3) == 0 {
		size = m.r.Int64N(6 * Granule)
	}
	w, err := a.Create(oid(n), size, id.Job{byte(n % 3)}, uint32(n))
	_, exists := m.sealed[n]
	var full *FullError
	switch {
	case errors.As(err, &full):
		if full.What == FullEntries && len(m.sealed)+len(m.writers)+len(m.holds) < len(a.entries) {
			m.t.Fatalf("no entry: %d sealed, %d being created, %d held, of %d", len(m.sealed), len(m.writers), len(m.holds), len(a.entries))
		}
		if full.What == FullBytes && size > 0 && full.Run >= size {
			m.t.Fatalf("full with room: %v", err)
		}
	case errors.Is(err, ErrTooLarge):
		if size <= a.Size() {
			m.t.Fatal(err)
		}
	case errors.Is(err, ErrExists):
		if !exists && m.writers[n] == nil {
			m.t.Fatalf("create %d: %v", n, err)
		}
	case err != nil || exists || m.writers[n] != nil:
		m.t.Fatalf("create %d: %v, exists %v", n, err, exists)
	default:
		fill(w.Bytes(), n)
		m.writers[n] = w
	}
}

func (m *model) finish(n int, w *Writer) {
	delete(m.writers, n)
	if m.r.IntN(4) == 0 {
		w.Abort()
		return
	}
	h, err := w.Seal(m.r.IntN(2) == 0)
	if err != nil {
		m.t.Fatal(err)
	}
	if h != nil {
		m.holds = append(m.holds, held{h, n})
	}
	m.sealed[n] = int64(len(w.Bytes()))
}

func (m *model) release(i int) {
	x := m.holds[i]
	if err := check(x.h.Bytes(), x.n); err != nil {
		m.t.Fatal(err)
	}
	x.h.Release()
	m.holds[i] = m.holds[len(m.holds)-1]
	m.holds = m.holds[:len(m.holds)-1]
}

func (m *model) deleteJob(job int) (n int) {
	for k := range m.sealed {
		if k%3 == job {
			delete(m.sealed, k)
			n++
		}
	}
	return n
}

func (m *model) audit() {
	u := m.c.Audit()
	if err := u.Check(); err != nil || u.Sealed != len(m.sealed) || u.Creating != len(m.writers) || u.Evicting != 0 || u.Stale != 0 {
		m.t.Fatalf("%v, want %d sealed, %d being created:\n%v", err, len(m.sealed), len(m.writers), u)
	}
}

func (m *model) end() {
	for n, w := range m.writers {
		m.finish(n, w)
	}
	for len(m.holds) > 0 {
		m.release(0)
	}
	m.audit()
	for j := range byte(3) {
		m.c.DeleteJob(id.Job{j})
	}
}

// TestTogether lets goroutines of several clients work on few objects at once.
func TestTogether(t *testing.T) {
	for seed, cfg := range []Config{{Size: 2 << 20, Entries: 40}, {Size: 16 << 20, Entries: 1000}} {
		c := newArena(t, cfg, 1, 33, 64)
		c.startGenerations(t, genMask-3)
		c.SetCPUs(1500)
		var all sync.WaitGroup
		for i, a := range c.all() {
			defer serve(a)()
			for g := range 2 {
				all.Go(func() {
					r := rand.New(rand.NewPCG(uint64(seed), uint64(i*10+g)))
					for range 3000 {
						if err := mischief(a, r); err != nil {
							t.Error(err)
							return
						}
					}
					a.WantCPU(false)
				})
			}
		}
		all.Wait()
		u := c.Audit()
		if err := u.Check(); err != nil || u.CPUMilli != 0 || c.CPUWaiters().Load() != 0 || len(u.Holders) != 0 {
			t.Errorf("%v, waiters for a CPU %d\n%v", err, c.CPUWaiters().Load(), u)
		}
		c.DeleteJob(testJob)
		if u := c.Audit(); !u.Empty() {
			t.Errorf("not empty:\n%v", u)
		}
	}
}

// TestOneCreator races creators of one ID: exactly one wins.
func TestOneCreator(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20}, 1, 2, 40)
	for n := range 2000 {
		var wins atomic.Int32
		var all sync.WaitGroup
		for _, a := range c.all() {
			all.Go(func() {
				w, err := a.Create(oid(n), 10, testJob, 0)
				if err == nil {
					wins.Add(1)
					w.Seal(false)
				} else if !errors.Is(err, ErrExists) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if wins.Load() != 1 {
			t.Fatalf("object %d has %d creators", n, wins.Load())
		}
		c.Delete(oid(n))
	}
}

// TestIndexOverflows fills few buckets far beyond their slots, in and out.
func TestIndexOverflows(t *testing.T) {
	c := newArena(t, Config{Size: 1 << 20, Entries: 4000})
	c.near, c.buckets = 2, 64 // 462 slots; nobody else maps it
	var seen []int
	for n := 0; ; n++ {
		if err := put(c.Arena, n, 0); err != nil {
			var full *FullError
			if !errors.As(err, &full) || full.What != FullIndex {
				t.Fatal(err)
			}
			break
		}
		seen = append(seen, n)
	}
	if len(seen) != 462 {
		t.Fatal("index took", len(seen))
	}
	for _, n := range seen {
		h, ok := c.Get(oid(n))
		if !ok || !c.Delete(oid(n)) {
			t.Fatal("lost", n)
		}
		h.Release()
	}
	for i := range c.index {
		if n := c.index[i].past.Load(); n != 0 {
			t.Fatalf("bucket %d still counts %d slots further on", i, n)
		}
	}
}

// TestHashSpreads hashes what one process names: tasks in order, results of one task, puts of many processes.
func TestHashSpreads(t *testing.T) {
	const n, buckets = 1 << 14, 1 << 12
	name := map[string]func(i int) ID{
		"tasks":   func(i int) ID { return taskID(0xdeadbeef01234567, uint64(i+1)).Object(0) },
		"results": func(i int) ID { return taskID(0xdeadbeef01234567, 5).Object(uint32(i)) },
		"procs":   func(i int) ID { return taskID(uint64(i+1)*0x9e3779b97f4a7c15, 1).Object(0) },
	}
	for what, of := range name {
		var near, far, prints, shard [buckets]int
		for i := range n {
			h := hash(of(i))
			near[h%buckets]++
			far[h>>farShift%buckets]++
			prints[h>>(64-12)]++
			shard[shardOf(h)]++
		}
		for _, counts := range [][buckets]int{near, far, prints, shard} {
			if most := slices.Max(counts[:]); most > 20 { // of 4 on average
				t.Errorf("%s: %d in one place", what, most)
			}
		}
	}
}

func taskID(proc, n uint64) (t id.Task) {
	binary.BigEndian.PutUint64(t[:8], proc)
	binary.BigEndian.PutUint64(t[8:], n)
	return t
}

// TestDrawing compares the states drawn in the package comment with the table that the code obeys.
func TestDrawing(t *testing.T) {
	b, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	drawn := map[string]bool{}
	for l := range bytes.Lines(b) {
		l, ok := bytes.CutPrefix(l, []byte("//\t"))
		if !ok || !bytes.Contains(l, []byte(" -> ")) {
			continue
		}
		path := bytes.Split(bytes.TrimSpace(l), []byte(" -> "))
		for i := range path[1:] {
			drawn[string(path[i])+" -> "+string(path[i+1])] = true
		}
	}
	n := 0
	for from, tos := range next {
		for _, to := range tos {
			n++
			if arrow := state(from).String() + " -> " + to.String(); !drawn[arrow] {
				t.Errorf("%s is not drawn", arrow)
			}
		}
	}
	if n != len(drawn) {
		t.Errorf("%d transitions, %d drawn: %v", n, len(drawn), drawn)
	}
}
