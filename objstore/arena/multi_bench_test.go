package arena

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/shm"
)

func init() {
	roles["putter"], roles["ponger"] = putter, ponger
}

// procs is how many processes work together in the benchmarks.
const procs = 4

// churn puts and deletes 1 KiB, or gets and releases one of a thousand, for some time and counts.
func churn(a *Arena, get bool, d time.Duration) (n int) {
	data := make([]byte, 1<<10)
	base := 1<<20 + a.client<<30
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 1000 {
			if get {
				if h, ok := a.Get(oid(n % 1000)); ok {
					h.Release()
				}
			} else {
				w, err := a.Create(oid(base+n), 1<<10, testJob, 0)
				if err != nil {
					fail(err)
				}
				copy(w.Bytes(), data)
				w.Seal(false)
				if n >= 100 {
					a.Delete(oid(base + n - 100))
				}
			}
			n++
		}
	}
	for i := max(n-100, 0); i < n; i++ {
		a.Delete(oid(base + i))
	}
	return n
}

func putter() {
	a, args := join()
	fmt.Println(churn(a, args[0] == 1, time.Duration(args[1])*time.Millisecond))
}

// BenchmarkProcesses compares what four processes do together with what one does alone.
func BenchmarkProcesses(b *testing.B) {
	for i, what := range []string{"put", "get"} {
		b.Run(what, func(b *testing.B) {
			c := newArena(b, Config{Size: 64 << 20})
			for n := range 1000 {
				putSealed(b, c.Arena, n, make([]byte, 1<<10))
			}
			together := func(n int) (sum float64) {
				const ms = 300
				var kids []*child
				for p := range n {
					kids = append(kids, c.spawn(b, "putter", p+1, uint64(p+1), i, ms))
				}
				for p, k := range kids {
					line, _ := k.out.ReadString('\n')
					ops, err := strconv.Atoi(strings.TrimSpace(line))
					if err != nil {
						b.Fatal(err)
					}
					sum += float64(ops) / ms / 1000
					k.end()
					c.Reap(p + 1)
				}
				return sum
			}
			var one, all []float64
			for range 3 {
				one = append(one, together(1))
				all = append(all, together(procs))
			}
			for range b.N {
			}
			slices.Sort(one)
			slices.Sort(all)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(one[1], "one-M/s")
			b.ReportMetric(all[1], "four-M/s")
			c.DeleteJob(testJob)
		})
	}
}

// ponger answers each even object with an odd one, then each bump of a word with one of another.
func ponger() {
	a, args := join()
	go func() {
		for last := uint32(0); ; last = a.DoorbellWait(last, time.Hour) {
			a.Poke()
		}
	}()
	for n := range args[0] {
		h, err := a.Wait(context.Background(), oid(2*n))
		if err != nil {
			fail(err)
		}
		h.Release()
		w, err := a.Create(oid(2*n+1), 100, testJob, 0)
		if err != nil {
			fail(err)
		}
		w.Seal(false)
	}
	fmt.Println("now words")
	echo(pingWord(a, 0), pingWord(a, 1), args[0])
	fmt.Println("done")
	select {}
}

func pingWord(a *Arena, i int) *atomic.Uint32 { return &a.clients[20+i].bell }

func echo(in, out *atomic.Uint32, n int) {
	for i := range uint32(n) {
		for in.Load() != i+1 {
			shm.Wait(in, i, time.Second)
		}
		out.Store(i + 1)
		shm.Wake(out, 1)
	}
}

func BenchmarkSealWake(b *testing.B) {
	const n = 3000
	c := newArena(b, Config{Size: 64 << 20, Entries: 20000})
	stop := serve(c.Arena)
	defer stop()
	k := c.spawn(b, "ponger", 1, 1, n)
	defer func() { k.end(); c.Reap(1); c.DeleteJob(testJob) }()
	var ws, rs []float64
	for i := range n {
		start := time.Now()
		putSealed(b, c.Arena, 2*i, nil)
		h, err := c.Wait(context.Background(), oid(2*i+1))
		if err != nil {
			b.Fatal(err)
		}
		ws = append(ws, float64(time.Since(start).Nanoseconds())/2)
		h.Release()
	}
	k.out.ReadString('\n')
	for i := range uint32(n) {
		start := time.Now()
		pingWord(c.Arena, 0).Store(i + 1)
		shm.Wake(pingWord(c.Arena, 0), 1)
		for pingWord(c.Arena, 1).Load() != i+1 {
			shm.Wait(pingWord(c.Arena, 1), i, time.Second)
		}
		rs = append(rs, float64(time.Since(start).Nanoseconds())/2)
	}
	for range b.N {
	}
	slices.Sort(ws)
	slices.Sort(rs)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ws[n/2], "work-ns")
	b.ReportMetric(rs[n/2], "ref-ns")
	b.ReportMetric(ws[n/2]/rs[n/2], "ratio")
}
