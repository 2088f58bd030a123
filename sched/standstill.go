package sched

import "time"

// stillAfter is how long nothing of the queues has begun when that is told for the first time. After that it is told each time
// that it has lasted twice as long.
const stillAfter = 30 * time.Second

// stillGap is how far looks are apart at most for a standstill to go on.
const stillGap = time.Second

// standstill watches whether queued tasks begin. A queue that moves is healthy however long it is: what counts is that none of
// it was taken, by executors, getters or other processes, while what runs stayed the same.
type standstill struct {
	sign   uint64 // of what runs
	queued int
	since  time.Time // nothing has begun
	next   time.Duration
}

// look is called at each tick with what the queues hold, and says how long nothing of it has begun where that is to be told now.
func (s *standstill) look(now time.Time, queued int, sign uint64, after time.Duration) (time.Duration, bool) {
	if s.queued == 0 || queued < s.queued || sign != s.sign || s.since.IsZero() {
		*s = standstill{sign, queued, now, after}
		return 0, false
	}
	s.queued = queued
	long := now.Sub(s.since)
	if long < s.next {
		return 0, false
	}
	s.next = 2 * long
	return long, true
}

// runs changes whenever an executor, or a goroutine of the engine, takes another task.
func (e *Engine) runs() uint64 {
	h := uint64(0)
	for t := range e.active() {
		h += uint64(t.address()) * 0x9E3779B97F4A7C15 // in whatever order
	}
	return h
}

// still tells the layer above of a standstill.
func (m *monitor) still(now time.Time, queued int) {
	e := m.e
	if e.cfg.Standstill == nil {
		return
	}
	if now.Sub(m.stillAt) > stillGap { // this process was stopped meanwhile
		m.stands = standstill{}
	}
	m.stillAt = now
	sign := uint64(0)
	if queued > 0 {
		sign = e.runs()
	}
	long, tell := m.stands.look(now, queued, sign, e.cfg.still)
	if !tell {
		return
	}
	live := false
	e.EachQueued(func(*Task, int) { live = true })
	if live {
		e.cfg.Standstill(e, long)
	}
}
