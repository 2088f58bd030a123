package arena

import (
	"sync"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/shm"
)

// maxRanges bounds the ranges of this process's writable view that are made read-only: the kernel allows
// 65,530 mappings a process, and each range costs up to two.
const maxRanges = 1 << 14

// guard takes large objects that were lent away from their own writer at seal: it makes their granules
// read-only in this process's writable view, until the process gets one of them again. Doing and undoing it
// costs as much as to copy a megabyte, hence not for what only passes through our own hands; and on small
// pages more, hence there only on demand.
type guard struct {
	on    bool
	force bool // KADRE_CHECK=seal: no limit on ranges

	mu     sync.Mutex
	bits   []atomic.Uint64 // a bit for each granule that is read-only; written under mu
	ranges int
}

func (gd *guard) open(granules int64, on, force bool) {
	gd.on, gd.force = on, force
	if on {
		gd.bits = make([]atomic.Uint64, (granules+63)/64)
	}
}

func (gd *guard) has(g int64) bool {
	return g >= 0 && g/64 < int64(len(gd.bits)) && gd.bits[g/64].Load()>>(g%64)&1 != 0
}

// seal makes n granules from g on read-only. Where that is not possible they stay writable.
func (gd *guard) seal(a *Arena, g, n int64) {
	if !gd.on {
		return
	}
	gd.mu.Lock()
	defer gd.mu.Unlock()
	if gd.ranges >= maxRanges && !gd.force || shm.Protect(a.granulesRW(g, n), false) != nil {
		return
	}
	for i := range n {
		gd.bits[(g+i)/64].Or(1 << ((g + i) % 64))
	}
	gd.ranges += 1 - count(gd.has(g-1)) - count(gd.has(g+n))
}

// lift makes those of n granules from g on writable again that are not, run by run.
func (gd *guard) lift(a *Arena, g, n int64) error {
	if !gd.on {
		return nil
	}
	for at := g; at < g+n; at++ {
		if !gd.has(at) {
			continue
		}
		end := at + 1
		for end < g+n && gd.has(end) {
			end++
		}
		if err := gd.liftRun(a, at, end-at); err != nil {
			return err
		}
		at = end
	}
	return nil
}

// liftRun makes n granules writable, all of which were read-only. They are claimed by our caller, so nobody
// else in this process changes their bits.
func (gd *guard) liftRun(a *Arena, g, n int64) error {
	gd.mu.Lock()
	defer gd.mu.Unlock()
	if err := shm.Protect(a.granulesRW(g, n), true); err != nil {
		return err
	}
	for i := range n {
		gd.bits[(g+i)/64].And(^uint64(1 << ((g + i) % 64)))
	}
	gd.ranges += count(gd.has(g-1)) + count(gd.has(g+n)) - 1
	return nil
}

func (a *Arena) granulesRW(g, n int64) []byte {
	off := a.offData + g*Granule
	return a.mem[off : off+n*Granule]
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}
