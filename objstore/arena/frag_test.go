package arena

import (
	"errors"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kadrehq/kadre/internal/invariant"
)

// TestFragmentation puts and deletes objects of 100 B to 100 MB, in two shapes of Zipf's law, so that about the
// same stays alive. At any moment, which is after each single step, what has pages is within 1.3 times of what lives.
// KADRE_FRAG=10m makes each shape last.
func TestFragmentation(t *testing.T) {
	long, _ := time.ParseDuration(os.Getenv("KADRE_FRAG"))
	for name, law := range map[string]float64{"as many of each tenfold size": 1, "each tenfold size three times as rare": 1.5} {
		t.Run(name, func(t *testing.T) {
			bytes, made := int64(fragBytes), float64(fragMade)*(law-1)
			if invariant.Race { // one goroutine, which has nobody to race with: what is checked after each step is checked less often
				bytes, made = 2*fragTarget, made/10
			}
			f := fragments{cluster: newArena(t, Config{Size: 4 << 30, Entries: 200_000}, 1), r: rand.New(rand.NewPCG(11, 7)), law: law}
			begin := time.Now()
			for checked := int64(0); f.bytes < bytes || f.made < int(made) || time.Since(begin) < long; {
				f.step(t)
				if f.bytes > checked {
					checked = f.bytes + fragTarget
					f.verify(t)
				}
			}
			f.verify(t)
			t.Logf("%d objects made in %v, %d alive of %d MiB: at worst pages are %.3f of live bytes, after a creation %.3f; objects took %.3f; given back %d times, %d refused",
				f.made, time.Since(begin).Round(time.Second), len(f.objects), f.live>>20, f.worst, f.afterCreate, f.taken, f.sp.trims.Load(), f.refused)
			if f.worst > 1.3 || f.refused > 0 {
				t.Error("fragmented")
			}
			f.DeleteJob(testJob)
		})
	}
}

const (
	fragTarget = 1500 << 20     // live bytes
	fragBytes  = 8 * fragTarget // that are made at least
	fragMade   = 600_000        // objects that are made at least per unit of law above 1: most of them are small
	fragMost   = 150_000        // objects at a time
)

// fragments is a random workload, and what it has seen.
type fragments struct {
	*cluster
	r     *rand.Rand
	law   float64
	made  int
	bytes int64 // of all that were made

	objects []fragment
	live    int64
	full    bool // the target was reached

	worst, afterCreate, taken float64
	refused                   int
}

type fragment struct {
	n    int
	size int64
}

// size is one of 100 B to 100 MB, of which those of size x are as frequent as 1/x to the power of law.
func (f *fragments) size() int64 {
	const least, most = 100, 100e6
	u := f.r.Float64()
	if f.law == 1 {
		return int64(least * math.Pow(most/least, u))
	}
	k := f.law - 1
	return int64(least * math.Pow(1-u*(1-math.Pow(least/most, k)), -1/k))
}

// step makes an object, after it deleted as many as it must for the target.
func (f *fragments) step(t *testing.T) {
	size := f.size()
	for len(f.objects) > 0 && (f.live+size > fragTarget || len(f.objects) >= fragMost) {
		f.full = true
		i := f.r.IntN(len(f.objects))
		f.all()[f.r.IntN(2)].Delete(oid(f.objects[i].n))
		f.live -= f.objects[i].size
		f.objects[i] = f.objects[len(f.objects)-1]
		f.objects = f.objects[:len(f.objects)-1]
		f.look(&f.worst)
	}
	f.made++
	w, err := f.all()[f.made%2].Create(oid(f.made), size, testJob, 0)
	if errors.Is(err, ErrFull) {
		f.refused++
		return
	} else if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Seal(false); err != nil {
		t.Fatal(err)
	}
	f.objects = append(f.objects, fragment{f.made, size})
	f.live += size
	f.bytes += size
	f.look(&f.worst)
	f.look(&f.afterCreate)
}

// look notes how many pages there are for the bytes that live.
func (f *fragments) look(worst *float64) {
	if f.full {
		pages := (f.committed() - int64(f.sp.holes.Load())) * Granule
		*worst = max(*worst, float64(pages)/float64(f.live))
	}
}

// verify checks everything, and that the pages are as many as the system says, up to huge pages of which a part is in use.
func (f *fragments) verify(t *testing.T) {
	t.Helper()
	u := f.Audit()
	if err := u.Check(); err != nil {
		t.Fatal(err)
	}
	if f.full {
		f.taken = max(f.taken, float64((u.Granules+u.Slabs)*Granule)/float64(f.live))
	}
	var st unix.Stat_t
	if err := unix.Fstat(f.fd, &st); err != nil {
		t.Fatal(err)
	}
	pages := (f.committed() - int64(f.sp.holes.Load())) * Granule
	if meta := st.Blocks*512 - pages; meta < 0 || meta > f.offData+pages/64 || u.Committed != pages {
		t.Fatalf("the system counts %d bytes, the audit %d, we %d, beside %d of metadata", st.Blocks*512, u.Committed, pages, f.offData)
	}
}

// TestSmallStaysLow has large and small objects in turn use all of an arena, most of which has no pages then. What is
// small goes to the low end, and what is large to the highest place that is just long enough, pages or not.
func TestSmallStaysLow(t *testing.T) {
	const large = 8 << 20
	c := newArena(t, Config{Size: 128 << 20}, 1)
	n := 0
	place := func(size int64) int64 {
		t.Helper()
		n++
		if err := put(c.all()[n%2], n, size); err != nil {
			t.Fatal(err)
		}
		h, _ := c.Get(oid(n))
		defer h.Release()
		return int64(c.entries[h.e].off.Load())
	}
	at := map[int64]int{} // large objects by their place
	for range 15 {
		at[place(large)] = n
		place(Granule)
	}
	if err := put(c.Arena, -1, large); !errors.Is(err, ErrFull) {
		t.Fatal("the arena is to be full of large ones:", err)
	}
	low := slices.Min(slices.Collect(maps.Keys(at)))
	if low < 15*Granule {
		t.Fatalf("a large object is at %d, amid the small ones", low)
	}
	// Two holes between large objects: one of 16 MiB without pages, above it one of 8 MiB with pages.
	places := slices.Sorted(maps.Keys(at))
	for _, i := range []int{6, 7} {
		c.Delete(oid(at[places[i]]))
	}
	for _, a := range c.all() {
		a.runs = nil // what is warm goes first
	}
	if _, err := c.Trim(0, 1<<40); err != nil {
		t.Fatal(err)
	}
	c.Delete(oid(at[places[10]]))
	for _, a := range c.all() {
		a.runs = nil
	}
	for i := range 40 {
		if off := place([]int64{Granule, 1000, 20 << 10, 3 * Granule}[i%4]); off >= low {
			t.Fatalf("a small object is at %d, beyond %d where large ones are", off, low)
		}
	}
	if off := place(large); off != places[10] {
		t.Errorf("a large object is at %d, and not in its like at %d", off, places[10])
	}
	if off := place(large - Granule); off != places[7]+Granule {
		t.Errorf("a large object is at %d, and not at the upper end of the next hole, %d", off, places[7]+Granule)
	}
	c.DeleteJob(testJob)
}
