package proc

import (
	"runtime"
	"runtime/metrics"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

const (
	collectShare = 100             // of the time between two collections that nobody waits for, one takes one part in so many
	collectMost  = 2 * time.Minute // as long as Go itself goes without one
)

// idleCollections paces those that the node asks for because nothing runs: with a million references one takes a second or two
// of CPU time, and every ten seconds that would be a fifth of a core.
type idleCollections struct {
	mu   sync.Mutex
	next time.Time // not before
}

// due says whether it is time for one, which ended has to follow then.
func (c *idleCollections) due(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Before(c.next) {
		return false
	}
	c.next = now.Add(collectMost) // there shall be one at a time
	return true
}

// ended notes what one took.
func (c *idleCollections) ended(now time.Time, took time.Duration) {
	c.mu.Lock()
	c.next = now.Add(min(took*collectShare, collectMost))
	c.mu.Unlock()
}

// onCollect collects: at once where the node waits for it, because room is needed, else where it is time.
func (p *Process) onCollect(f *wire.Frame) {
	to := f.Head()
	if to.Req == 0 && !p.idle.due(time.Now()) {
		return
	}
	go func() {
		before := collectorTime()
		runtime.GC()
		p.idle.ended(time.Now(), collectorTime()-before)
		p.reply(to, nil)
	}()
}

// collectorTime is the CPU time that collections have taken in this process.
func collectorTime() time.Duration {
	s := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindFloat64 {
		return 0
	}
	return time.Duration(s[0].Value.Float64() * float64(time.Second))
}
