package arena

import (
	"math/bits"
	"runtime"
)

// reapStride is how many entries a reaper does before it lets others run.
const reapStride = 4096

// ReapStats says what a client left behind.
type ReapStats struct {
	Held     int // holder bits dropped
	Finished int // half-made and half-freed objects finished
	Evicted  int // deleted objects freed that nobody held any more
	Reopened int // slabs it was closing
	Punched  int // granules whose pages it was giving back
	Waits    int // wait bits cleared
	CPUs     int // CPU words freed
}

// Reap clears every trace of a client and frees its slot. Only the node does it, and only once the process
// is truly dead: one that still runs would find its objects given to others. Every step may be repeated.
// In the end it wakes all who wait for objects or for CPUs: the dead may have sealed without waking them.
func (a *Arena) Reap(client int) (s ReapStats) {
	if a.client != 0 || client < 1 || client >= len(a.clients) || a.closed.Load() {
		return s
	}
	a.admission.Lock()
	defer a.admission.Unlock()
	slot := &a.clients[client]
	if slot.epoch.Load() == 0 {
		return s
	}
	for e := range a.high() {
		a.reapEntry(e, client, &s)
		if e%reapStride == reapStride-1 {
			runtime.Gosched()
		}
	}
	for g := range a.granules {
		switch w := a.grans[g].Load(); {
		case w&kindMask == granClose && int(w>>8&0xff) == client:
			a.reopenSlab(g, w)
			s.Reopened++
		case punching(w) && puncher(w) == client:
			a.reapPunch(g, w)
			s.Punched++
		}
	}
	s.CPUs = a.freeCPUs(client)
	slot.wantCPU.Store(0)
	a.countCPUWaiters()
	a.ringCPUWaiters()
	s.Waits = a.wakeWaiters(client)
	slot.pid.Store(0)
	slot.epoch.Store(0)
	return s
}

// reapEntry does what the client would have done with one entry.
func (a *Arena) reapEntry(e uint32, client int, s *ReapStats) {
	held := a.forget(client, e)
	w := a.entries[e].main.Load()
	gen := genOf(w)
	switch stateOf(w) {
	case creating, evicting:
		if owner(w) == client {
			a.finish(e, gen, a.entries[e].key().hash())
			s.Finished++
		}
	case sealed, doomed:
		if client >= nearClients {
			v, bit := a.farWord(e, client)
			held = farGen(v.Load()) == gen && uint32(v.Load())&bit != 0
		}
		s.Held += count(held)
		if held || client < nearClients {
			a.dropDead(e, gen, client)
		}
		// It may have died between dooming it, or its last release, and evicting. Where others still hold it, its
		// index slot goes nevertheless: twice does no harm.
		if stateOf(w) == doomed {
			h := a.entries[e].key().hash()
			a.unlink(slotOf(e, gen, h), h)
			if a.tryEvict(e, gen) {
				s.Evicted++
			}
		}
	}
}

// wakeWaiters clears the wait bits of a dead client and wakes every other client that has one.
func (a *Arena) wakeWaiters(client int) (cleared int) {
	var mask shardMask
	a.sp.waiting.clear(client)
	for i := range a.shards {
		if bit := uint64(1) << (client % 64); a.shards[i][client/64].Load()&bit != 0 {
			a.shards[i].clear(client)
			cleared++
		}
		for j := range mask {
			mask[j] |= a.shards[i][j].Load()
		}
	}
	for j, m := range mask {
		for ; m != 0; m &= m - 1 {
			if c := j*64 + bits.TrailingZeros64(m); c < len(a.clients) {
				a.clients[c].hint.Store(^uint64(0))
				a.Ring(c)
			}
		}
	}
	return cleared
}

// shardMask is a shard read once.
type shardMask [shardWords]uint64
