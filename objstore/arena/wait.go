package arena

import (
	"context"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/shm"
)

// Waiting and sealing, side by side; the steps marked * make it safe, for each side writes before it reads.
//
//	wait                                  seal
//	1 enlist here, set own bit among      1 entry: CREATING -> SEALED
//	  those who wait, then in the shard
//	2 * look up: there?                   2 * read who waits at all, then the shard
//	3 sleep until Poke                    3 each client with a bit: hint, bump doorbell, wake
//
// Who waits at all is in one line of memory that mostly nobody writes; the shards are as large as a CPU's cache.
//
// The doorbell side: DoorbellWait reads the doorbell, the process polls everything it has to poll, among it
// Poke, then it sleeps if the doorbell is still the one it read. A sealer that dies before step 3 is made
// good by its reaper, who does step 3 for every client with a bit anywhere; one that is stopped there, by
// Poke looking at everything once in a while.

// clockStep is by how many milliseconds the shared clock may be behind while processes poll. Idle ones poll
// once a second.
const clockStep = 10

// groups is how many groups of shards a hint can tell apart.
const groups = 64

// waits are the goroutines of this process that wait for objects.
type waits struct {
	all sync.WaitGroup

	mu     sync.Mutex
	closed bool
	n      int            // waiters: the bit among those who wait is set while there are any
	count  [shards]uint32 // the same by shard
	group  [groups][]*waiter
	full   time.Time // when Poke last looked at everything
}

// waiter is one goroutine in Wait.
type waiter struct {
	o     ID
	shard uint32
	at    int // its place in its group
	wake  chan struct{}
}

// Wait is Get that waits until the object is sealed, ctx ends, or the arena is closed. Seals by other
// processes are noticed by whoever runs this process's loop of [Arena.DoorbellWait] and [Arena.Poke].
func (a *Arena) Wait(ctx context.Context, o ID) (*Hold, error) {
	if h, ok := a.Get(o); ok {
		return h, nil
	}
	w := &waiter{o: o, shard: shardOf(hash(o)), wake: make(chan struct{}, 1)}
	if !a.enlist(w) {
		return nil, ErrClosed
	}
	defer a.leave(w)
	a.at(killWaiting)
	for {
		if h, ok := a.Get(o); ok {
			return h, nil
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return nil, fmt.Errorf("arena: waiting for object %s: %w", o, context.Cause(ctx))
		case <-a.done:
			return nil, ErrClosed
		}
	}
}

func (a *Arena) enlist(w *waiter) bool {
	ws := &a.wait
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return false
	}
	ws.all.Add(1)
	g := &ws.group[w.shard%groups]
	w.at = len(*g)
	*g = append(*g, w)
	if ws.n++; ws.n == 1 {
		a.sp.waiting.set(a.client)
	}
	if ws.count[w.shard]++; ws.count[w.shard] == 1 {
		a.shards[w.shard].set(a.client)
	}
	return true
}

func (a *Arena) leave(w *waiter) {
	ws := &a.wait
	ws.mu.Lock()
	defer ws.mu.Unlock()
	defer ws.all.Done()
	g := ws.group[w.shard%groups]
	last := g[len(g)-1]
	g[w.at], last.at = last, w.at
	g[len(g)-1] = nil
	ws.group[w.shard%groups] = g[:len(g)-1]
	if ws.count[w.shard]--; ws.count[w.shard] == 0 {
		a.shards[w.shard].clear(a.client)
	}
	if ws.n--; ws.n == 0 {
		a.sp.waiting.clear(a.client)
	}
}

// drain refuses new waiters and returns once there are none.
func (ws *waits) drain() {
	ws.mu.Lock()
	ws.closed = true
	ws.mu.Unlock()
	ws.all.Wait()
}

// announce wakes everyone who waits for the object that was just sealed in an entry. If the entry is reused by
// now, the object is gone, and nobody need be woken for it.
func (a *Arena) announce(h uint64, e uint32) {
	if a.sp.waiting.empty() {
		return
	}
	s := shardOf(h)
	for i := range a.shards[s] {
		for m := a.shards[s][i].Load(); m != 0; m &= m - 1 {
			switch c := i*64 + bits.TrailingZeros64(m); {
			case c == a.client:
				a.wakeLocal(s, a.entries[e].key().id())
			case c < len(a.clients):
				a.clients[c].hint.Or(1 << (s % groups))
				a.Ring(c)
			}
		}
	}
}

// wakeLocal wakes the goroutines of this process that wait for o.
func (a *Arena) wakeLocal(shard uint32, o ID) {
	a.wait.mu.Lock()
	defer a.wait.mu.Unlock()
	for _, w := range a.wait.group[shard%groups] {
		if w.o == o {
			w.poke()
		}
	}
}

func (w *waiter) poke() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// Poke wakes the goroutines of this process whose objects other processes may have sealed. It looks where
// they hinted, and everywhere once a second. It yields to those it woke: its caller is about to sleep in the
// kernel, where it would keep them from running until another thread came for them.
func (a *Arena) Poke() {
	if !a.closed.Load() && a.poke() {
		runtime.Gosched()
	}
}

func (a *Arena) poke() (woke bool) {
	a.wait.mu.Lock()
	defer a.wait.mu.Unlock()
	hint := a.clients[a.client].hint.Swap(0)
	now := time.Now()
	a.setClock(now)
	if now.Sub(a.wait.full) >= a.recheck {
		a.wait.full, hint = now, ^uint64(0)
	}
	for ; hint != 0; hint &= hint - 1 {
		for _, w := range a.wait.group[bits.TrailingZeros64(hint)] {
			if _, ok := a.State(w.o); ok {
				w.poke()
				woke = true
			}
		}
	}
	return woke
}

// setClock sets the shared clock, unless another process just did.
func (a *Arena) setClock(now time.Time) {
	ms := uint64(max(now.UnixMilli(), 0))
	if old := a.sp.clock.Load(); ms > old+clockStep || ms+clockStep < old {
		a.sp.clock.Store(ms)
	}
}

// Doorbell is the futex word of a client's process, which [Arena.Ring] and rings bump. Nil for a client
// that cannot be.
func (a *Arena) Doorbell(client int) *atomic.Uint32 {
	if client < 0 || client >= len(a.clients) {
		return nil
	}
	return &a.clients[client].bell
}

// Ring bumps a client's doorbell and wakes it.
func (a *Arena) Ring(client int) {
	if !a.closed.Load() {
		shm.Bell(a.Doorbell(client))
	}
}

// DoorbellWait sleeps while this process's doorbell is last, for a second or timeout at most, and returns
// what it is now. One goroutine of the process calls it in a loop.
func (a *Arena) DoorbellWait(last uint32, timeout time.Duration) uint32 {
	if timeout < 0 || timeout > a.recheck {
		timeout = a.recheck
	}
	bell := a.Doorbell(a.client)
	if timeout > 0 && bell.Load() == last && !a.closed.Load() {
		shm.Wait(bell, last, timeout)
	}
	return bell.Load()
}
