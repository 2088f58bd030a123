package sched

import (
	"iter"
	"time"
)

const (
	// tick is how often the monitor looks while there is work; tickStarved while CPU words are lacking.
	tick        = 10 * time.Millisecond
	tickStarved = time.Millisecond
	// maxExtra bounds the slots that the monitor adds.
	maxExtra = 10_000
	// stallIdle is how long nothing may happen before a slot is added: a task that sleeps or does I/O for
	// less keeps its slot, and no more tasks run than there are slots. After a stall it is stallAgain for as
	// long as stallMemory.
	stallIdle   = time.Second
	stallAgain  = 20 * time.Millisecond
	stallMemory = time.Second
	// stallBusy counts instead while the CPUs are in use; the next slots take twice as long each.
	stallBusy = 2 * time.Second
	// extraKept is how many ticks in a row an added slot may go unused.
	extraKept = 10
)

// rouse starts the monitor's ticks.
func (e *Engine) rouse() {
	if e.awake.CompareAndSwap(false, true) {
		e.rouser <- struct{}{}
	}
}

// monitor adds slots when everything that runs is stuck in something that the engine cannot see (I/O, a
// lock, a wait under a context without its task), abandons tasks that do not heed their end, hands over
// CPU words, and tells the layer above about the queues. It sleeps while there is nothing to look at.
func (e *Engine) monitor() {
	defer e.leave()
	m := monitor{e: e}
	timer := time.NewTimer(tick)
	defer timer.Stop()
	for !e.stop.Load() {
		if !m.look() {
			e.awake.Store(false)
			if !e.busy() { // after awake: pairs with rouse
				<-e.rouser
			} else if !e.awake.CompareAndSwap(false, true) {
				<-e.rouser
			}
			m.reset()
			continue
		}
		d := tick
		if e.cpu != nil && e.waiting.Load() > 0 {
			d = tickStarved
		}
		timer.Reset(d)
		<-timer.C
	}
}

func (e *Engine) busy() bool {
	return e.running() > 0 || e.waiting.Load() > 0 || e.stop.Load() || e.more() ||
		len(*e.all.Load())-shards > int(e.idle.Load()) || len(e.free.active()) > 0 || len(e.part.active()) > 0
}

type monitor struct {
	e       *Engine
	sign    uint64           // of everything that moves
	since   time.Time        // sign is what it is
	cpu     time.Duration    // used up to the last look
	at      time.Time        // of the last look
	added   int              // slots added in this stall
	last    time.Time        // when slots were last added because nothing moved
	unused  int              // looks in a row at which extra slots were not needed
	queued  int              // as told to onQueued
	noted   map[string]noted // what was told of slots
	stands  standstill
	stillAt time.Time           // when that was last looked at
	over    map[*Task]time.Time // running tasks whose context has ended, since when
}

func (m *monitor) reset() {
	m.tell(0)
	m.since, m.at, m.added = time.Time{}, time.Time{}, 0
	m.over, m.stands = nil, standstill{}
}

// look does one round and says whether there is anything to look at.
func (m *monitor) look() bool {
	e := m.e
	now := time.Now()
	for _, v := range *e.all.Load() {
		v.q.DropStale() // what getters ran themselves
	}
	n := e.Queued()
	m.tell(n)
	m.stall(now, n)
	m.still(now, n)
	m.abandon(now)
	if e.cpu != nil && e.waiting.Load() > 0 {
		e.grant()
	}
	if e.wides.Load()&widesMask > 0 || e.running() > e.limit.Load() || e.cpu != nil && e.running() > 0 && e.cpu.Over() {
		e.press.Or(pressSlots)
	} else {
		e.press.And(^pressSlots)
	}
	return e.busy()
}

func (m *monitor) tell(n int) {
	if f := m.e.onQueued.Load(); f != nil && (n == 0) != (m.queued == 0) {
		(*f)(n)
	}
	m.queued = n
}

// stall adds a slot when tasks wait and nothing has moved for too long, and takes added ones away again.
func (m *monitor) stall(now time.Time, queued int) {
	e := m.e
	sign := e.sign()
	used := cpuTime()
	idle := !m.at.IsZero() && used-m.cpu < now.Sub(m.at)*time.Duration(e.cfg.Slots)/2
	m.cpu, m.at = used, now
	full := e.running() >= e.limit.Load() || e.wides.Load()&widesMask > 0 && e.cpu == nil
	if sign != m.sign || m.since.IsZero() || !full || queued == 0 && e.waiting.Load() == 0 {
		m.sign, m.since, m.added = sign, now, 0
		m.shrink(full)
		return
	}
	limit := stallBusy << min(m.added, 16)
	if idle {
		limit = e.cfg.stall
		if now.Sub(m.last) < stallMemory {
			limit = stallAgain
		}
	}
	if now.Sub(m.since) < limit || e.extra.Load() >= maxExtra {
		return
	}
	m.added++
	if idle {
		m.last = now
	}
	n := 1 + e.extra.Load()/4
	m.note("add slots", now, n)
	e.cfg.Logger.Debug("sched: nothing progresses, adding slots", "add", n, "queued", queued, "cpu_idle", idle)
	e.extra.Add(n)
	e.limit.Add(int32(n))
	e.grant()
	e.replace()
}

// noteEvery is how often one kind of event about slots is told: where they come and go for long, all others would
// be pushed out of what the node remembers.
const noteEvery = time.Second

// noted is what has happened of a kind of event.
type noted struct {
	last time.Time // when it was told
	n    int64     // what has come since
}

func (m *monitor) note(kind string, now time.Time, n int64) {
	k := m.noted[kind]
	k.n += n
	if now.Sub(k.last) >= noteEvery {
		m.e.note(kind, "", k.n)
		k = noted{last: now}
	}
	if m.noted == nil {
		m.noted = map[string]noted{}
	}
	m.noted[kind] = k
}

// shrink takes slots back that were not needed for a while.
func (m *monitor) shrink(full bool) {
	e := m.e
	x := e.extra.Load()
	if m.unused++; full || x == 0 {
		m.unused = 0
	}
	if m.unused < extraKept {
		return
	}
	m.unused = 0
	n := 1 + x/4
	m.note("take slots back", time.Now(), n)
	e.extra.Add(-n)
	e.limit.Add(-int32(n))
}

// sign changes whenever a queue does or an executor takes another task.
func (e *Engine) sign() uint64 {
	e.ranked.mu.Lock()
	h := uint64(e.running()) ^ e.ranked.moves<<32
	e.ranked.mu.Unlock()
	for _, v := range *e.all.Load() {
		_, moves := v.q.Len()
		h = (h ^ moves) * 0x9E3779B97F4A7C15
		v.running(func(t *Task) bool {
			h = (h ^ uint64(t.address())) * 0x9E3779B97F4A7C15
			return true
		})
	}
	return h
}

// running calls yield for what w's loop runs; false where it returned false.
func (w *worker) running(yield func(*Task) bool) bool {
	if p := w.piece.Load(); p != nil {
		return p.each(yield)
	}
	t := w.cur.Load()
	return t == nil || yield(t)
}

// current is the task that w's loop runs, or one that runs of its range; nil where there is none.
func (w *worker) current() (t *Task) {
	w.running(func(x *Task) bool {
		t = x
		return false
	})
	return t
}

// active goes through the tasks that run on goroutines of the engine.
func (e *Engine) active() iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for _, v := range *e.all.Load() {
			if !v.running(yield) {
				return
			}
		}
		for _, a := range []*aside{e.wide, e.free, e.part} {
			for _, t := range a.active() {
				if !yield(t) {
					return
				}
			}
		}
	}
}

// counted is when a task whose end was counted began to be over: never again.
var counted = time.Unix(1<<40, 0)

// abandon fails tasks that run on although their context ended a while ago, and counts them with those that somebody else has
// failed and that run on as long. Their goroutines stay.
func (m *monitor) abandon(now time.Time) {
	var over map[*Task]time.Time
	for t := range m.e.heedless() {
		if _, seen := over[t]; seen {
			continue
		}
		since, ok := m.over[t]
		if !ok {
			since = now
		}
		if now.Sub(since) > m.e.cfg.Grace && (t.Ready() || t.failFrom(&CancelledError{Cause: t.Err()}, stRun)) {
			since = counted
			m.e.abandoned.Add(1)
			m.e.note("abandon", t.Func().Name, 0)
			m.e.cfg.Logger.Warn("sched: task ignores its cancelled context, abandoned", "func", t.Func().Name)
		}
		if over == nil {
			over = make(map[*Task]time.Time)
		}
		over[t] = since
	}
	m.over = over
}

// heedless goes through the tasks whose functions run although their contexts have ended, some of them twice. One that has failed
// is seen where its function is not known to be fast: an executor may wait for a slot when it has run another one.
func (e *Engine) heedless() iter.Seq[*Task] {
	return func(yield func(*Task) bool) {
		for t := range e.active() {
			if !t.Ready() && t.Err() != nil && !yield(t) {
				return
			}
		}
		for _, t := range e.roster.failed() { // also what carriers and getters run
			if !yield(t) {
				return
			}
		}
	}
}
