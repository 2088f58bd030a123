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

// Control is a control lane.
type Control struct {
	c *Conn

	in, out atomic.Uint64 // bytes of frames
	heard   atomic.Bool   // something came since Heard was last asked

	mu     sync.Mutex
	urgent []byte
	queue  []byte
	err    error
	idle   bool // the writer has written everything
	wake   sync.Cond
	empty  sync.Cond
}

// NewControl makes a control lane of an agreed connection. Frames may be sent at once; none is written
// before Run.
func NewControl(c *Conn) *Control {
	l := &Control{c: c}
	l.wake.L, l.empty.L = &l.mu, &l.mu
	return l
}

// Run reads and writes until the lane ends, and returns why. handle gets each frame, in order, on Run's
// goroutine, and must not keep it. Run is called once.
func (l *Control) Run(handle func(k Class, payload []byte)) error {
	var wg sync.WaitGroup
	wg.Go(l.write)
	l.Cut(l.read(handle))
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Send queues a frame of head and payload, copied.
func (l *Control) Send(k Class, head, payload []byte) error {
	if n := len(head) + len(payload); n > MaxFrame {
		return fmt.Errorf("%w: %d bytes, at most %d", ErrTooBig, n, MaxFrame)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
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
	l.wake.Signal()
	return nil
}

// Heard says whether anything came since it was last asked.
func (l *Control) Heard() bool { return l.heard.Swap(false) }

// Bytes tells how much came and went.
func (l *Control) Bytes() (in, out uint64) { return l.in.Load(), l.out.Load() }

// Cut ends the lane without waiting, before Run too.
func (l *Control) Cut(why error) {
	l.mu.Lock()
	if l.err == nil {
		l.err = why
	}
	l.wake.Broadcast()
	l.empty.Broadcast()
	l.mu.Unlock()
	l.c.Close()
}

// Flush waits until all that was queued is written, for maxFlushFor at most.
func (l *Control) Flush() {
	t := time.AfterFunc(maxFlushFor, func() { l.Cut(errors.New("lane: flushing took too long")) })
	defer t.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil && !(l.idle && len(l.urgent)+len(l.queue) == 0) {
		l.empty.Wait()
	}
}

// write empties the two queues, the urgent one first, swapping buffers so that senders never wait for it.
func (l *Control) write() {
	var spare []byte
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.err == nil {
		q := &l.urgent
		if len(*q) == 0 {
			q = &l.queue
		}
		if len(*q) == 0 {
			l.idle = true
			l.empty.Broadcast()
			l.wake.Wait()
			continue
		}
		l.idle = false
		b := *q
		*q = spare
		l.mu.Unlock()
		l.c.raw.SetWriteDeadline(time.Now().Add(writeFor))
		_, err := l.c.tls.Write(b)
		l.out.Add(uint64(len(b)))
		if spare = b[:0]; cap(b) > keepBytes {
			spare = nil
		}
		if err != nil {
			l.Cut(err)
		}
		l.mu.Lock()
	}
}

// read hands over frames in place until the lane ends.
func (l *Control) read(handle func(k Class, payload []byte)) error {
	buf := make([]byte, readBytes)
	r, w := 0, 0
	for {
		need := frameHead
		for {
			k, p, n, err := parseFrame(buf[r:w])
			if err != nil {
				return err
			}
			if need = n; w-r < need {
				break
			}
			handle(k, p)
			r += n
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
		n, err := l.c.tls.Read(buf[w:])
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
