package arena

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// A CPU word has the low half of the owner's epoch on top, then in 16 bits the owner's client + 1 or 0 when
// it is free, then in 16 bits how many thousandths of a CPU it is. One CAS claims it, one frees it.
func cpuWord(epoch uint64, client int, milli uint64) uint64 {
	return epoch<<32 | uint64(client+1)<<16 | milli
}
func cpuMilli(w uint64) uint64 { return w & 0xffff }
func cpuOwner(w uint64) int    { return int(w>>16&0xffff) - 1 }

// SetCPUs says how much there is to share, in thousandths of a CPU: a word for each whole CPU, one for the
// rest. The node calls it once, before it admits anyone.
func (a *Arena) SetCPUs(milli int) error {
	n := (milli + 999) / 1000
	if a.client != 0 {
		return ErrNotNode
	}
	if milli < 0 || n > maxCPUs || a.sp.cpus.Load() != 0 {
		return fmt.Errorf("arena: set CPUs to %d thousandths: already set, or not from 0 to %d", milli, maxCPUs*1000)
	}
	for i := range n {
		a.cpus[i].Store(uint64(min(1000, milli-i*1000)))
	}
	a.sp.cpus.Store(uint64(n))
	return nil
}

func (a *Arena) cpuWords() []atomic.Uint64 { return a.cpus[:min(a.sp.cpus.Load(), maxCPUs)] }

// ClaimCPU takes a free CPU word, whole ones first. False when all are taken.
func (a *Arena) ClaimCPU() (slot int, ok bool) {
	if a.closed.Load() {
		return 0, false
	}
	words := a.cpuWords()
	for i := range words {
		if w := words[i].Load(); cpuOwner(w) < 0 && words[i].CompareAndSwap(w, cpuWord(a.epoch, a.client, cpuMilli(w))) {
			a.at(killCPU)
			return i, true
		}
	}
	return 0, false
}

// ReleaseCPU gives a claimed word back and rings every client that wants one. A word that is not ours stays.
func (a *Arena) ReleaseCPU(slot int) {
	words := a.cpuWords()
	if a.closed.Load() || slot < 0 || slot >= len(words) {
		return
	}
	w := words[slot].Load()
	if cpuOwner(w) == a.client && words[slot].CompareAndSwap(w, cpuMilli(w)) {
		a.ringCPUWaiters()
	}
}

// CPUMilli is how many thousandths of a CPU a slot is.
func (a *Arena) CPUMilli(slot int) int {
	if words := a.cpuWords(); slot >= 0 && slot < len(words) {
		return int(cpuMilli(words[slot].Load()))
	}
	return 0
}

// CPUs says how much there is and how much of it is free, in thousandths.
func (a *Arena) CPUs() (total, free int) {
	words := a.cpuWords()
	for i := range words {
		w := words[i].Load()
		total += int(cpuMilli(w))
		if cpuOwner(w) < 0 {
			free += int(cpuMilli(w))
		}
	}
	return total, free
}

// CPUsOf says how much a client has claimed, in thousandths.
func (a *Arena) CPUsOf(client int) (milli int) {
	words := a.cpuWords()
	for i := range words {
		if w := words[i].Load(); cpuOwner(w) == client {
			milli += int(cpuMilli(w))
		}
	}
	return milli
}

// WantCPU says that this process has something to run and no CPU for it, or no longer. While it wants one
// its doorbell rings whenever one becomes free. First want, then try to claim, then sleep.
func (a *Arena) WantCPU(want bool) {
	if a.closed.Load() {
		return
	}
	a.clients[a.client].wantCPU.Store(uint32(count(want)))
	a.countCPUWaiters()
}

// CPUWaiters is the number of clients that want a CPU. It is for reading, by whoever has one.
func (a *Arena) CPUWaiters() *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&a.sp.cpuWait)) // its low half, on the little-endian machines we run on
}

// CPUUser is a client that has CPU words or wants one.
type CPUUser struct {
	Client int
	Party  uint32 // who shares its share with it
	Words  int    // that it has
	Wants  bool
	Used   uint64 // what it had so far, as it says itself: the unit is that of the layer above
}

// CPUUsers appends all of them to dst. Each word is read by itself: the whole may never have been so.
func (a *Arena) CPUUsers(dst []CPUUser) []CPUUser {
	var has [maxClients]uint16
	words := a.cpuWords()
	for i := range words {
		if c := cpuOwner(words[i].Load()); c >= 0 && c < maxClients {
			has[c]++
		}
	}
	for c := range a.clientHigh() {
		k := &a.clients[c]
		if wants := k.wantCPU.Load() != 0; wants || has[c] > 0 {
			dst = append(dst, CPUUser{c, k.party.Load(), int(has[c]), wants, k.cpuUsed.Load()})
		}
	}
	return dst
}

// SetCPUUsed is what CPUUsers tells of this client from now on.
func (a *Arena) SetCPUUsed(used uint64) {
	if !a.closed.Load() {
		a.clients[a.client].cpuUsed.Store(used)
	}
}

// CPUParty is this client's own.
func (a *Arena) CPUParty() uint32 {
	if a.closed.Load() {
		return 0
	}
	return a.clients[a.client].party.Load()
}

// CPUCount is the number of words there are.
func (a *Arena) CPUCount() int {
	if a.closed.Load() {
		return 0
	}
	return len(a.cpuWords())
}

// SetCPUParty says whom a client shares its share with; by itself it has one of its own. The node calls it when it
// has admitted the client.
func (a *Arena) SetCPUParty(client int, party uint32) {
	if !a.closed.Load() && client > 0 && client < len(a.clients) {
		a.clients[client].party.Store(party)
	}
}

// countCPUWaiters counts the flags again. The version makes a count fail that another one overtook, so the
// last one has seen every flag.
func (a *Arena) countCPUWaiters() {
	for {
		old := a.sp.cpuWait.Load()
		n := uint64(0)
		for c := range a.clientHigh() {
			if a.clients[c].wantCPU.Load() != 0 {
				n++
			}
		}
		if a.sp.cpuWait.CompareAndSwap(old, (old>>32+1)<<32|n) {
			return
		}
	}
}

func (a *Arena) ringCPUWaiters() {
	if a.CPUWaiters().Load() == 0 {
		return
	}
	for c := range a.clientHigh() {
		if a.clients[c].wantCPU.Load() != 0 {
			a.Ring(c)
		}
	}
}

// freeCPUs frees the words of a dead client.
func (a *Arena) freeCPUs(client int) (n int) {
	words := a.cpuWords()
	for i := range words {
		if w := words[i].Load(); cpuOwner(w) == client && words[i].CompareAndSwap(w, cpuMilli(w)) {
			n++
		}
	}
	return n
}
