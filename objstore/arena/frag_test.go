package arena

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"time"
)

// TestFragmentation puts and deletes objects of 100 B to 100 MB, each tenfold size ten times as rare, so that about
// the same stays alive, and trims now and then, as a node does. What the objects take at any moment, and what
// has pages after a trim, is within 1.3 times of what lives.
// KADRE_FRAG=10m makes it last.
func TestFragmentation(t *testing.T) {
	const target, steps = 600 << 20, 4000
	long, _ := time.ParseDuration(os.Getenv("KADRE_FRAG"))
	end := time.Now().Add(long)
	c := newArena(t, Config{Size: 2 << 30, Entries: 100_000}, 1)
	r := rand.New(rand.NewPCG(11, 7))
	type object struct {
		n    int
		size int64
	}
	var objects []object
	live, refused := int64(0), 0
	worstTaken, worstPages, untrimmed := 0.0, 0.0, 0.0
	for n := 0; n < steps || time.Now().Before(end); n++ {
		size := int64(100 * math.Pow(1e6, r.Float64()))
		for len(objects) > 0 && (live+size > target || len(objects) > 50_000) {
			i := r.IntN(len(objects))
			c.Delete(oid(objects[i].n))
			live -= objects[i].size
			objects[i] = objects[len(objects)-1]
			objects = objects[:len(objects)-1]
		}
		w, err := c.all()[n%2].Create(oid(n), size, testJob, 0)
		if errors.Is(err, ErrFull) {
			refused++
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Seal(false); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, object{n, size})
		live += size
		if n%500 == 499 && live > target/2 {
			u := c.Audit()
			if err := u.Check(); err != nil {
				t.Fatal(err)
			}
			worstTaken = max(worstTaken, float64((u.Granules+u.Slabs)*Granule)/float64(live))
			untrimmed = max(untrimmed, float64(u.Committed)/float64(live))
			if _, err := c.Trim(32 << 20); err != nil {
				t.Fatal(err)
			}
			worstPages = max(worstPages, float64(c.Audit().Committed)/float64(live))
		}
	}
	t.Logf("at worst %.3f of live bytes taken, %.3f have pages (%.3f before the trim), %d refused", worstTaken, worstPages, untrimmed, refused)
	if worstTaken > 1.3 || worstPages > 1.3 || refused > 0 {
		t.Error("fragmented")
	}
	c.DeleteJob(testJob)
}
