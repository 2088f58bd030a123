package arena

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"
)

// The benchmarks measure the arena and, in turns with it, the least that such work costs: they report both
// and their ratio. Nothing fails on a figure here.

// rounds is how many times work and reference take turns; the medians count.
const rounds = 21

// versus reports the medians of work and ref, n operations a round, and their ratio.
func versus(b *testing.B, n int, work, ref func(n int)) {
	b.Helper()
	var ws, rs []float64
	timed := func(f func(int)) float64 {
		start := time.Now()
		f(n)
		return float64(time.Since(start).Nanoseconds()) / float64(n)
	}
	work(n/4 + 1)
	ref(n/4 + 1)
	for range rounds {
		ws = append(ws, timed(work))
		rs = append(rs, timed(ref))
	}
	slices.Sort(ws)
	slices.Sort(rs)
	for range b.N {
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ws[rounds/2], "work-ns")
	b.ReportMetric(rs[rounds/2], "ref-ns")
	b.ReportMetric(ws[rounds/2]/rs[rounds/2], "ratio")
	b.ReportMetric(ws[0]/rs[0], "best-ratio") // on a machine with other work
}

func benchArena(b *testing.B, cfg Config) *Arena {
	a, err := Create(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	return a
}

// putSealed creates, copies in and seals.
func putSealed(b *testing.B, a *Arena, n int, data []byte) {
	w, err := a.Create(oid(n), int64(len(data)), testJob, 0)
	if err != nil {
		b.Fatal(err)
	}
	copy(w.Bytes(), data)
	if _, err := w.Seal(false); err != nil {
		b.Fatal(err)
	}
}

var sink uint64

func BenchmarkPut1K(b *testing.B) {
	a := benchArena(b, Config{Size: 64 << 20})
	data, dst := make([]byte, 1<<10), make([]byte, 1<<20)
	var words [6]atomic.Uint64
	n, behind := 0, 100
	for ; n < behind; n++ {
		putSealed(b, a, n, data)
	}
	versus(b, 20000, func(k int) {
		for range k {
			data[n%len(data)]++
			putSealed(b, a, n, data)
			if !a.Delete(oid(n - behind)) {
				b.Fatal("lost")
			}
			n++
		}
	}, func(k int) {
		for i := range k {
			data[i%len(data)]++
			for j := range words {
				words[j].CompareAndSwap(uint64(i), uint64(i+1))
			}
			o := oid(i)
			sink += xxhash.Sum64(o[:])
			copy(dst[i%1024<<10:], data)
		}
		clear(words[:])
	})
}

func benchGet(b *testing.B, objects int, held bool) {
	a := benchArena(b, Config{Size: 256 << 20, Entries: 200_000})
	ids := make([]ID, objects)
	data := make([]byte, 1<<10)
	for i := range ids {
		ids[i] = oid(i)
		putSealed(b, a, i, data)
	}
	if held {
		h, _ := a.Get(ids[0])
		defer h.Release()
	}
	r := rand.New(rand.NewPCG(1, 2))
	order := make([]uint32, 1<<16)
	for i := range order {
		order[i] = uint32(r.IntN(objects))
	}
	far := make([]byte, 6<<20)
	var word [2]atomic.Uint64
	versus(b, 200000, func(k int) {
		for i := range k {
			h, ok := a.Get(ids[order[i%len(order)]])
			if !ok {
				b.Fatal("lost")
			}
			h.Release()
		}
	}, func(k int) {
		for i := range k {
			o := &ids[order[i%len(order)]]
			if !held {
				sink += xxhash.Sum64(o[:])
			}
			if objects > 1000 {
				line := far[sink%uint64(len(far)/64)*64:][:64]
				sink += uint64(line[0]) + uint64(line[63])
			}
			word[0].CompareAndSwap(0, 1)
			word[0].CompareAndSwap(1, 0)
		}
	})
}

func BenchmarkGet1KSet(b *testing.B)   { benchGet(b, 1000, false) }
func BenchmarkGet100KSet(b *testing.B) { benchGet(b, 100_000, false) }
func BenchmarkGetHeld(b *testing.B)    { benchGet(b, 1, true) }

func BenchmarkPut1M(b *testing.B) {
	a := benchArena(b, Config{Size: 256 << 20})
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(i * 7)
	}
	w, err := a.Create(oid(-1), 1<<20, testJob, 0) // never sealed: stays writable
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	versus(b, 200, func(k int) {
		for range k {
			putSealed(b, a, n, data)
			a.Delete(oid(n))
			n++
		}
	}, func(k int) {
		for range k {
			copy(w.Bytes(), data)
		}
	})
	w.Abort()
}

func BenchmarkArray100M(b *testing.B) {
	a := benchArena(b, Config{Size: 512 << 20})
	for _, size := range []int64{64 << 10, 1 << 20, 2 << 20, 100 << 20} {
		b.Run(fmt.Sprint("size=", size), func(b *testing.B) {
			n := 0
			once := func(fill bool) time.Duration {
				start := time.Now()
				w, err := a.Create(oid(n), size, testJob, 0)
				if err != nil {
					b.Fatal(err)
				}
				w.Lend() // as for an array
				took := time.Since(start)
				if fill {
					clear(w.Bytes())
				}
				start = time.Now()
				if _, err := w.Seal(false); err != nil {
					b.Fatal(err)
				}
				a.Delete(oid(n))
				n++
				return took + time.Since(start)
			}
			var ds []float64
			for i := range 50 {
				if d := once(true); i > 5 {
					ds = append(ds, float64(d.Nanoseconds())/1000)
				}
			}
			for range b.N {
			}
			slices.Sort(ds)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(ds[len(ds)/2], "us")
		})
	}
}
