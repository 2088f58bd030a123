package wire

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kadrehq/kadre/internal/shm"
)

// Doorbell is what a process sleeps on: its slot in the arena.
type Doorbell interface {
	DoorbellWait(last uint32, timeout time.Duration) uint32
	Poke() // wakes goroutines whose objects may have come
}

const (
	// pollTimeout bounds one sleep, so that a lost wake-up costs time and not the process.
	pollTimeout = time.Second
	// pollNap is how long frames may lie on a link that somebody attends to.
	pollNap = 100 * time.Microsecond
	// SpinLeast is how long one looks for a frame before one sleeps: about what sleeping and waking cost.
	SpinLeast = 5 * time.Microsecond
	// SpinMost is how long one looks while that is worth it, since a CPU is idle.
	SpinMost = 50 * time.Microsecond
	// SpinWake is how long one looks for the answer of a process that had to be woken: longer than that takes.
	SpinWake = 150 * time.Microsecond
	// SpinAlone is how long one looks before one lets others have the CPU between two looks: the process that is to answer
	// may wait for it.
	SpinAlone = 2 * time.Microsecond
	// spinLooks is the number of looks between two looks at the clock.
	spinLooks = 16
	// spinTurns is how often frames are taken so before all links are looked at.
	spinTurns = 64
	// spinLinks is at how many links one looks; what comes by others rings the doorbell.
	spinLinks = 8
)

// Poller drains the links of a process from one goroutine at a time, whoever is in Run. Links may come and go
// at any time.
//
// A goroutine that sends much on a link attends to it: it takes frames out itself every now and then, and
// nobody rings for them. The poll goroutine naps instead of sleeping then. Steps of the two sides:
//
//	attend                           going to sleep
//	1 attended = true                1 napping = false
//	2 * read napping                 2 * read attended: true -> nap
//	3 false -> ring the doorbell     3 park the links, sleep on the doorbell
type Poller struct {
	bell Doorbell
	ring func() // rings it
	turn atomic.Uint64

	napping atomic.Bool
	links   atomic.Pointer[[]polled]
	mu      sync.Mutex // guards changes of links
}

type polled struct {
	link   *Link
	frame  func([]byte)
	broken func(error)
}

// Hooks are what Run calls besides. Each may be nil.
type Hooks struct {
	Each func()      // after every round
	Work func() bool // does what frames have brought and may hand over to another goroutine; true: there was something
	Rest func()      // before it sleeps
	Spin func() bool // says whether it is worth while to look for more, after there was work; nil: it never is
	Move func() bool // goes to another CPU; nil where the other side does, or nobody is to
}

// NewPoller makes a poller that sleeps on bell, which ring rings.
func NewPoller(bell Doorbell, ring func()) *Poller {
	p := &Poller{bell: bell, ring: ring}
	p.links.Store(&[]polled{})
	return p
}

// Add makes Run give the frames of l to frame, on its goroutine. When the link is found broken, broken is
// called once on a goroutine of its own, and the link is drained no more. The caller rings the process's
// doorbell afterwards, so that Run looks at once.
func (p *Poller) Add(l *Link, frame func([]byte), broken func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := append(slices.Clone(*p.links.Load()), polled{l, frame, broken})
	p.links.Store(&links)
}

// Remove forgets l; a drain that is running may still go on until l is closed.
func (p *Poller) Remove(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := slices.DeleteFunc(slices.Clone(*p.links.Load()), func(o polled) bool { return o.link == l })
	p.links.Store(&links)
}

// Attend takes out what has come on l, for a goroutine that will look again soon.
func (p *Poller) Attend(l *Link, frame func([]byte)) {
	if !l.attended.Load() {
		l.attended.Store(true)
	}
	if !p.napping.Load() {
		p.ring()
	}
	if l.Grab() {
		l.Pump(frame, drainMost) // an error is found by Run too
		l.Drop(false)
	}
}

// Unattend ends that before its goroutine sleeps.
func (p *Poller) Unattend(l *Link) { l.attended.Store(false) }

// Turn gives the number of who may run next; the one that runs before ends after what it is doing.
func (p *Poller) Turn() uint64 { return p.turn.Add(1) }

// Current is the number of who runs now.
func (p *Poller) Current() uint64 { return p.turn.Load() }

// IsTurn says whether that is turn.
func (p *Poller) IsTurn(turn uint64) bool { return p.turn.Load() == turn }

// Run drains the links until stop says true, which it asks after each wake-up; it returns false when another
// goroutine has got its turn.
func (p *Poller) Run(turn uint64, stop func() bool, h Hooks) bool {
	last := p.bell.DoorbellWait(0, 0)
	poked := last - 1
	hot := false // there was work since the last sleep
	var side aside
	for !stop() {
		if last = p.bell.DoorbellWait(last, 0); last != poked {
			poked = last
			p.bell.Poke()
		}
		links := *p.links.Load()
		came := seenNothing
		if !p.round(links) {
			came = seenBell
		}
		for turns := 0; ; turns++ {
			hot = h.Work != nil && h.Work() || hot
			if !p.IsTurn(turn) {
				return false
			}
			if h.Each != nil {
				h.Each()
			}
			if came == seenBell || turns == spinTurns || !hot || h.Spin == nil {
				break
			}
			if came = p.spin(links, last, &h, &side); came != seenFrames {
				break
			}
		}
		if came != seenNothing {
			continue
		}
		if hot = false; h.Rest != nil {
			h.Rest()
		}
		if last == p.sleep(links, last) {
			poked = last - 1 // a second has passed: look everywhere
		}
	}
	return true
}

// round drains each link once.
func (p *Poller) round(links []polled) (idle bool) {
	idle = true
	for i := range links {
		l := &links[i]
		n, err := l.link.Drain(l.frame)
		if err != nil {
			p.Remove(l.link)
			if err != ErrLinkClosed && l.broken != nil {
				go l.broken(err)
			}
		}
		idle = idle && n == 0 && err == nil
	}
	return idle
}

// What spin has seen.
type seen uint8

const (
	seenNothing seen = iota
	seenFrames       // and given out what a link had
	seenBell         // or what else a round has to look at
)

// spin looks at the links for a moment, and gives out the frames of the first that has some. It has their batons
// meanwhile.
func (p *Poller) spin(links []polled, last uint32, h *Hooks, side *aside) seen {
	if h.Move != nil && side.shared >= sharedMost && side.due(time.Now()) && h.Spin() {
		h.Move()
	}
	gave := false // the CPU, at the last yield
	var mine [spinLinks]*polled
	n := 0
	for i := range links {
		if n < spinLinks && links[i].link.Grab() {
			mine[n] = &links[i]
			n++
		}
	}
	defer func() {
		for _, l := range mine[:n] {
			l.link.Drop(false)
		}
	}()
	for begin := (time.Time{}); ; {
		for range spinLooks {
			for _, l := range mine[:n] {
				if !l.link.Pending() {
					continue
				}
				side.came(gave)
				if _, err := l.link.Pump(l.frame, drainMost); err != nil {
					return seenBell
				}
				return seenFrames
			}
		}
		if p.bell.DoorbellWait(last, 0) != last {
			return seenBell
		}
		if begin.IsZero() {
			begin = time.Now()
			continue
		}
		switch d := time.Since(begin); {
		case d > SpinMost || d > SpinLeast && !h.Spin():
			return seenNothing
		case d > SpinAlone:
			shm.Yield()
			gave = time.Since(begin)-d > switched
		}
	}
}

// sleep waits for the doorbell; it returns what that is now.
func (p *Poller) sleep(links []polled, last uint32) uint32 {
	nap := false
	for i := range links {
		if links[i].link.attended.Load() {
			nap = links[i].link.attended.Swap(false) || nap
		}
	}
	p.napping.Store(nap) // 1
	if !nap {
		for i := range links {
			nap = links[i].link.attended.Load() || nap // 2
		}
	}
	if nap {
		p.bell.DoorbellWait(last, pollNap)
		return last + 1
	}
	idle := true
	for i := range links {
		idle = links[i].link.park() && idle
	}
	now := last + 1
	if idle {
		now = p.bell.DoorbellWait(last, pollTimeout) // 3
	}
	for i := range links {
		links[i].link.unpark()
	}
	return now
}
