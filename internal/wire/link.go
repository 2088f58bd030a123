package wire

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/shm"
)

const (
	// RingCapacity is the data bytes of each of a link's rings: the longest frame and its envelope fit twice.
	RingCapacity = 2 << 20
	// MaxBacklog bounds the bytes that wait in a link for room in its ring.
	MaxBacklog = 64 << 20
	// drainBatch is how many frames a link gives out before it frees their room.
	drainBatch = 64
	// drainMost is how many frames one link may give out before the others have their turn.
	drainMost = 1024
)

// Errors of a link.
var (
	ErrLinkClosed  = errors.New("wire: the link is closed")
	ErrLinkFull    = errors.New("wire: the process at the other end does not read its link")
	ErrFrameTooBig = errors.New("wire: frame too big for a link")
)

// Link is this process's end of a ring pair to another process of the machine. Any goroutine may send. Frames
// are taken out by whoever has the baton: the process's poll goroutine, or a goroutine that waits for a frame.
type Link struct {
	pair *shm.RingPair // unmapped by Close, under both locks

	attended atomic.Bool // a goroutine looks from time to time: nobody need ring for it

	drain sync.Mutex // the baton; taken before mu

	mu     sync.Mutex
	closed bool
	head   []byte   // scratch for envelopes
	wait   [][]byte // frames that found no room, oldest first
	queued int      // bytes in wait

	rang    atomic.Bool // see Rang
	owes    atomic.Bool // see Owes; written under mu
	backlog atomic.Bool // wait is not empty; written under mu
}

// NewLink wraps an open ring pair, which it owns from now on.
func NewLink(pair *shm.RingPair) *Link { return &Link{pair: pair} }

// Send sends an encoded frame. It never blocks: what finds no room waits in a bounded backlog.
func (l *Link) Send(frame []byte) error { return l.send(frame, nil) }

// SendFrame encodes and sends f.
func (l *Link) SendFrame(f *Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.head = f.appendHead(l.head[:0])
	return l.sendLocked(l.head, f.Body)
}

func (l *Link) send(head, body []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sendLocked(head, body)
}

func (l *Link) sendLocked(head, body []byte) error {
	if l.closed {
		return ErrLinkClosed
	}
	n := len(head) + len(body)
	if n > l.pair.Out.MaxFrame() {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrFrameTooBig, n, l.pair.Out.MaxFrame())
	}
	if len(l.wait) == 0 && l.pair.Out.TryPut(head, body) {
		l.notifyLocked()
		return nil
	}
	if err := l.pair.Out.Err(); err != nil {
		return err
	}
	if l.queued+n > MaxBacklog {
		return fmt.Errorf("%w: %d bytes wait for it", ErrLinkFull, l.queued)
	}
	l.wait = append(l.wait, append(append(make([]byte, 0, n), head...), body...))
	l.queued += n
	l.backlog.Store(true)
	l.notifyLocked()
	return nil
}

// flushLocked moves what waited into the ring, as far as there is room.
func (l *Link) flushLocked() {
	done := 0
	for _, f := range l.wait {
		if !l.pair.Out.TryPut(f) {
			break
		}
		l.wait[done] = nil
		l.queued -= len(f)
		done++
	}
	if l.wait = l.wait[done:]; len(l.wait) == 0 {
		l.wait = nil
		l.backlog.Store(false)
	}
	if done > 0 {
		l.notifyLocked()
	}
}

// Close ends the link and unmaps its rings, once the baton is free. It is not called by who has it. Later sends give ErrLinkClosed.
func (l *Link) Close() error {
	l.drain.Lock()
	defer l.drain.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	l.wait, l.queued = nil, 0
	l.backlog.Store(false)
	p := l.pair
	l.pair = nil
	return p.Close()
}
