package wire

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Doorbell is what a process sleeps on: its slot in the arena.
type Doorbell interface {
	DoorbellWait(last uint32, timeout time.Duration) uint32
	Poke() // wakes goroutines whose objects may have come
}

// pollTimeout bounds one sleep, so that a lost wake-up costs time and not the process.
const pollTimeout = time.Second

// Poller drains the links of a process from one goroutine, Run. Links may come and go at any time.
type Poller struct {
	bell Doorbell

	links atomic.Pointer[[]polled]
	mu    sync.Mutex // guards changes of links
}

type polled struct {
	link   *Link
	frame  func([]byte)
	broken func(error)
}

// NewPoller makes a poller that sleeps on bell.
func NewPoller(bell Doorbell) *Poller {
	p := &Poller{bell: bell}
	p.links.Store(&[]polled{})
	return p
}

// Add makes Run give the frames of l to frame, on its own goroutine. When the link is found broken, broken
// is called once on a goroutine of its own, and the link is drained no more. The caller rings the process's
// doorbell afterwards, so that Run looks at once.
func (p *Poller) Add(l *Link, frame func([]byte), broken func(error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := append(slices.Clone(*p.links.Load()), polled{l, frame, broken})
	p.links.Store(&links)
}

// Remove forgets l; a Drain that is running may still go on until l is closed.
func (p *Poller) Remove(l *Link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := slices.DeleteFunc(slices.Clone(*p.links.Load()), func(o polled) bool { return o.link == l })
	p.links.Store(&links)
}

// Run drains the links until stop says true, which it asks after each wake-up; each, when not nil, is
// called after every round.
func (p *Poller) Run(stop func() bool, each func()) {
	last := p.bell.DoorbellWait(0, time.Nanosecond)
	for !stop() {
		links := *p.links.Load()
		idle := true
		for _, l := range links {
			n, err := l.link.Drain(l.frame)
			if err != nil {
				p.Remove(l.link)
				if err != ErrLinkClosed && l.broken != nil {
					go l.broken(err)
				}
			}
			idle = idle && n == 0 && err == nil
		}
		p.bell.Poke()
		if each != nil {
			each()
		}
		if !idle {
			continue
		}
		for _, l := range links {
			idle = l.link.Park() && idle
		}
		if idle {
			last = p.bell.DoorbellWait(last, pollTimeout)
		}
		for _, l := range links {
			l.link.Unpark()
		}
	}
}
