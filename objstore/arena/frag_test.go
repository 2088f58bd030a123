package arena

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestFragmentation puts and deletes objects of 100 B to 100 MB, in two shapes of Zipf's law, so that about the
// same stays alive. At any moment, which is after each single step, what has pages is within 1.3 times of what lives.
// KADRE_FRAG=10m makes each shape last.
func TestFragmentation(t *testing.T) {
	long, _ := time.ParseDuration(os.Getenv("KADRE_FRAG"))
	for name, law := range map[string]float64{"as many of each tenfold size": 1, "each tenfold size three times as rare": 1.5} {
		t.Run(name, func(t *testing.T) {
			f := fragments{cluster: newArena(t, Config{Size: 4 << 30, Entries: 200_000}, 1), r: rand.New(rand.NewPCG(11, 7)), law: law}
			begin := time.Now()
			for checked := int64(0); f.bytes < fragBytes || time.Since(begin) < long; {
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
