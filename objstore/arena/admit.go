package arena

import (
	"fmt"
	"sync/atomic"
)

// Admit gives a process a client slot. The epoch is not 0 and tells this process from every other that had
// the slot. Only the node admits.
func (a *Arena) Admit(pid int, epoch uint64) (client int, err error) {
	if a.client != 0 {
		return 0, ErrNotNode
	}
	if a.closed.Load() {
		return 0, ErrClosed
	}
	if epoch == 0 {
		return 0, fmt.Errorf("arena: admit process %d: epoch 0 means a free slot; give it one of its own", pid)
	}
	a.admission.Lock()
	defer a.admission.Unlock()
	for c := 1; c < len(a.clients); c++ {
		s := &a.clients[c]
		if s.epoch.Load() != 0 {
			continue
		}
		a.mu.Lock() // so that fd is open
		err := commitKept(a.fd, &a.geometry, c)
		a.mu.Unlock()
		if err != nil {
			return 0, fmt.Errorf("arena: admit process %d: %w", pid, err)
		}
		s.pid.Store(uint64(pid))
		s.hint.Store(0)
		s.cpuUsed.Store(0)
		s.party.Store(uint32(c))
		for i := range s.stats {
			s.stats[i].Store(0)
		}
		a.sp.clientHigh.Store(max(a.sp.clientHigh.Load(), uint64(c+1)))
		s.epoch.Store(epoch)
		return c, nil
	}
	return 0, fmt.Errorf("%w: %d of %d, for process %d: end some, or give the node more", ErrClientsFull, len(a.clients), len(a.clients), pid)
}

// clientHigh is one more than the highest client slot ever used.
func (a *Arena) clientHigh() int { return int(min(a.sp.clientHigh.Load(), uint64(len(a.clients)))) }

// Stat are words of a client that it writes and all may read: queue lengths and the like. Nil for a client
// that cannot be.
func (a *Arena) Stat(client int) *[8]atomic.Uint64 {
	if client < 0 || client >= len(a.clients) {
		return nil
	}
	return &a.clients[client].stats
}

// Process says which process has a client slot; false when it is free.
func (a *Arena) Process(client int) (pid int, epoch uint64, ok bool) {
	if client < 0 || client >= len(a.clients) {
		return 0, 0, false
	}
	s := &a.clients[client]
	epoch = s.epoch.Load()
	return int(s.pid.Load()), epoch, epoch != 0
}
