package lane

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxQueued   = 8 << 20          // bytes of a class that wait to be written; then Send refuses
	writeFor    = 30 * time.Second // a peer that reads nothing for so long loses the lane
	readBytes   = 32 << 10         // first size of the read buffer
	keepBytes   = 256 << 10        // larger buffers are dropped when empty
	maxFlushFor = 2 * time.Second
)

// Errors of sending.
var (
	ErrFull   = errors.New("lane: too many bytes wait for this peer; it reads too slowly")
	ErrClosed = errors.New("lane: closed")
	ErrTooBig = errors.New("lane: frame too big")
)

var errReplaced = errors.New("lane: replaced by a newer lane")

// Control is a control lane of a bond. What Send takes ends with the lane; what the bond's Send takes does not.
type Control struct {
	c    *Conn
	bond *Bond
	prev *Control      // to be waited for by Run
	done chan struct{} // Run has ended

	in, out atomic.Uint64 // bytes of frames
	heard   atomic.Bool   // something came since Heard was last asked
	cut     atomic.Bool   // err is set: what still comes is refused

	// guarded by bond.mu
	urgent  []byte
	queue   []byte
	spare   []byte // an array for one of the two
	began   bool   // Run has told the peer how many of the bond's frames came
	open    bool   // the peer has said where the bond's frames begin
	told    uint64 // the count of the bond's frames that the peer was told last
	err     error
	writing bool // somebody is at it; he alone takes from the queues and from what is kept
	left    bool // the cork holds what could not be written without waiting
	reading bool // the reader hands frames over and flushes when it has no more
	burst   int  // frames from elsewhere since the reader last brought any
	crowd   bool // those are many: the writer gathers them
	calm    int  // reads since they were
	wake    sync.Cond
	empty   sync.Cond
}

// Run waits for the end of the bond's lane before, then reads and writes until this one ends, and returns
// why. handle gets each frame, the bond's in order, on Run's goroutine, and must not keep it. Run is called
// once, also for a lane that is cut already.
func (l *Control) Run(handle func(k Class, payload []byte)) error {
	defer close(l.done)
	if l.prev != nil {
		<-l.prev.done // its reader counts, and its writer reads what is kept
		l.prev = nil
	}
	l.bond.mu.Lock()
	l.began = true
	l.confirmLocked()
	l.bond.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(l.write)
	l.Cut(l.read(handle))
	wg.Wait()
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	for l.writing {
		l.empty.Wait()
	}
	return l.err
}

// Send queues a frame of head and payload, copied, that ends with the lane. Frames of the layers above are
// for the bond's Send.
func (l *Control) Send(k Class, head, payload []byte) error {
	if n := len(head) + len(payload); n > MaxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, n, MaxFrame)
	}
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	if l.err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, l.err)
	}
	q := &l.queue
	if k == FrameMember {
		q = &l.urgent
	}
	if len(*q)+len(head)+len(payload) > maxQueued {
		return ErrFull
	}
	*q = appendFrame(*q, k, head, payload)
	l.nudgeLocked()
	return nil
}

// Heard says whether anything came since it was last asked.
func (l *Control) Heard() bool { return l.heard.Swap(false) }

// Bytes tells how much came and went.
func (l *Control) Bytes() (in, out uint64) { return l.in.Load(), l.out.Load() }

// Cut ends the lane without waiting, before Run too.
func (l *Control) Cut(why error) {
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	l.cutLocked(why)
}

func (l *Control) cutLocked(why error) {
	if l.err == nil {
		l.err = why
	}
	l.cut.Store(true)
	l.wake.Broadcast()
	l.empty.Broadcast()
	l.c.Close()
}

// Flush waits until all that was sent is written, for maxFlushFor at most.
func (l *Control) Flush() {
	t := time.AfterFunc(maxFlushFor, func() { l.Cut(errors.New("lane: flushing took too long")) })
	defer t.Stop()
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	for l.err == nil && (l.writing || l.left || len(l.urgent)+len(l.queue)+l.restLocked() > 0) {
		l.empty.Wait()
	}
}

// restLocked is how much of what the bond keeps has to be written on this lane, for all that is known yet.
func (l *Control) restLocked() int {
	if l.open {
		return len(l.bond.kept.next())
	}
	return l.bond.kept.bytes
}

// read hands over frames in place until the lane ends.
func (l *Control) read(handle func(k Class, payload []byte)) error {
	buf := make([]byte, readBytes)
	r, w := 0, 0
	came := 0 // bytes of the bond's frames that were not confirmed
	got := l.bond.got.Load()
	defer func() { l.bond.got.Store(got) }()
	for {
		need, batch := frameHead, false
		for {
			k, p, n, err := parseFrame(buf[r:w])
			if err != nil {
				return err
			}
			if need = n; w-r < need {
				break
			}
			if l.cut.Load() {
				return errReplaced // or by another reason, which is noted already
			}
			r += n
			if !batch {
				batch = true
				l.gather()
			}
			switch k {
			case FrameConfirm:
				if err := l.confirmed(p); err != nil {
					return err
				}
				continue
			case FrameUser:
				got++
				came += n
			}
			handle(k, p)
		}
		l.bond.got.Store(got)
		if batch {
			tell := came >= confirmEvery
			if tell {
				came = 0
			}
			l.release(tell)
		}
		switch {
		case r == w && cap(buf) > keepBytes && need <= readBytes:
			buf, r, w = make([]byte, readBytes), 0, 0
		case r == w && need <= len(buf):
			r, w = 0, 0
		case len(buf) < need:
			b := make([]byte, need)
			r, w = 0, copy(b, buf[r:w])
			buf = b
		case len(buf)-r < need || w == len(buf):
			r, w = 0, copy(buf, buf[r:w])
		}
		n, err := l.c.rw.Read(buf[w:])
		w += n
		if n > 0 {
			l.in.Add(uint64(n))
			l.heard.Store(true)
		}
		if err != nil {
			return fmt.Errorf("lane: %w", err)
		}
	}
}
