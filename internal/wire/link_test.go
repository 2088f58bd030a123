package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/shm"
)

// bell is a process's doorbell without an arena.
type bell struct{ atomic.Uint32 }

func (b *bell) Poke() {}
func (b *bell) ring() { shm.Bell(&b.Uint32) }
func (b *bell) DoorbellWait(last uint32, timeout time.Duration) uint32 {
	shm.Wait(&b.Uint32, last, timeout)
	return b.Load()
}

// linkPair gives both ends of one ring pair, and the doorbell of each.
func linkPair(t *testing.T, capacity int) (l [2]*Link, b [2]*bell) {
	t.Helper()
	fd, err := shm.CreateRingPair(capacity)
	if err != nil {
		t.Fatal(err)
	}
	defer shm.CloseFD(fd)
	b = [2]*bell{new(bell), new(bell)}
	for side := range l {
		p, err := shm.OpenRingPair(fd, side, &b[1-side].Uint32)
		if err != nil {
			t.Fatal(err)
		}
		l[side] = NewLink(p)
		t.Cleanup(func() { l[side].Close() })
	}
	return l, b
}

func TestLinkEcho(t *testing.T) {
	l, b := linkPair(t, 1<<12) // tiny: the backlog and both waits are used
	const senders, each = 4, 500
	var stop atomic.Bool
	var wg, done sync.WaitGroup
	last := make([]int64, senders)
	for i := range last {
		last[i] = -1
	}
	done.Add(senders * each)
	echo, back := NewPoller(b[1], b[1].ring), NewPoller(b[0], b[0].ring)
	fail := func(err error) { t.Error(err) }
	echo.Add(l[1], func(f []byte) {
		if err := l[1].Send(f); err != nil {
			t.Error(err)
		}
	}, fail)
	back.Add(l[0], func(f []byte) {
		s, n := binary.LittleEndian.Uint64(f), int64(binary.LittleEndian.Uint64(f[8:]))
		if n != last[s]+1 {
			t.Errorf("sender %d: frame %d after %d", s, n, last[s])
		}
		last[s] = n
		done.Done()
	}, fail)
	wg.Go(func() { echo.Run(0, stop.Load, Hooks{}) })
	wg.Go(func() { back.Run(0, stop.Load, Hooks{}) })
	for s := range senders {
		wg.Go(func() {
			for n := range each {
				f := binary.LittleEndian.AppendUint64(nil, uint64(s))
				f = binary.LittleEndian.AppendUint64(f, uint64(n))
				if err := l[0].Send(append(f, make([]byte, n%200)...)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done.Wait()
	stop.Store(true)
	shm.Bell(&b[0].Uint32)
	shm.Bell(&b[1].Uint32)
	wg.Wait()
}

func TestLinkFrame(t *testing.T) {
	l, _ := linkPair(t, 0)
	want := Frame{Kind: KPull, Epoch: 7, From: id.Addr{Node: "a", Proc: 1}, To: id.Addr{Node: "b"}, Req: 9, Body: []byte("body")}
	if err := l[0].SendFrame(&want); err != nil {
		t.Fatal(err)
	}
	n, err := l[1].Drain(func(b []byte) {
		got, err := ParseFrame(b)
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) || !bytes.Equal(b, want.Append(nil)) {
			t.Errorf("got %v, %v", got, err)
		}
	})
	if n != 1 || err != nil {
		t.Fatalf("Drain: %d, %v", n, err)
	}
}

func TestLinkBounds(t *testing.T) {
	l, _ := linkPair(t, 1<<20)
	if err := l[0].Send(make([]byte, 1<<20)); !errors.Is(err, ErrFrameTooBig) {
		t.Fatalf("too big: %v", err)
	}
	f := make([]byte, 400<<10)
	var err error
	for range 2 * MaxBacklog / len(f) {
		if err = l[0].Send(f); err != nil {
			break
		}
	}
	if !errors.Is(err, ErrLinkFull) {
		t.Fatalf("full: %v", err)
	}
	l[0].Close()
	if err := l[0].Send(nil); err != ErrLinkClosed {
		t.Fatalf("closed: %v", err)
	}
	if _, err := l[0].Drain(nil); err != ErrLinkClosed {
		t.Fatalf("closed: %v", err)
	}
	if !l[0].park() {
		t.Fatal("a closed link keeps its poller awake")
	}
	l[0].unpark()
}
