package shm

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"
)

// newRing makes a ring in ordinary memory, its positions starting at start.
func newRing(t testing.TB, capacity int, start uint64) (*Ring, []byte) {
	t.Helper()
	mem := make([]uint64, RingSize(capacity)/8)
	region := unsafe.Slice((*byte)(unsafe.Pointer(&mem[0])), len(mem)*8)
	r, err := NewRing(region)
	must(t, err)
	r.h.head.Store(start)
	r.h.tail.Store(start)
	return r, region
}

// TestRingModel compares a ring with a queue, also where its positions wrap around.
func TestRingModel(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		ring, _ := newRing(t, 64<<r.IntN(6), -uint64(r.IntN(100)*8))
		p, c := ring.Producer(nil), ring.Consumer(nil)
		var queue [][]byte
		taken := 0
		for range 2000 {
			switch r.IntN(5) {
			case 0, 1:
				a, b := randomBytes(r, ring.MaxFrame()/2), randomBytes(r, ring.MaxFrame()/2)
				ok := p.TryPut(a, b)
				if ok {
					queue = append(queue, append(a, b...))
				} else if len(queue) == 0 && taken == 0 {
					t.Fatal("an empty ring has no room")
				}
			case 2, 3:
				got, ok, err := c.TryGet()
				must(t, err)
				if ok != (len(queue) > 0) || ok && !bytes.Equal(got, queue[0]) {
					t.Fatalf("seed %d: got %q %v, %d queued", seed, got, ok, len(queue))
				}
				if ok {
					queue = queue[1:]
					taken++
				}
			case 4:
				c.Advance()
				taken = 0
			}
		}
		must(t, p.Err())
		must(t, c.Err())
	}
}

func randomBytes(r *rand.Rand, most int) []byte {
	b := make([]byte, r.IntN(most+1))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func TestRingLimits(t *testing.T) {
	r, region := newRing(t, 128, 0)
	p, c := r.Producer(nil), r.Consumer(nil)
	if p.TryPut(make([]byte, p.MaxFrame()+1)) || !p.TryPut(make([]byte, p.MaxFrame())) || !p.TryPut() {
		t.Fatal("a frame of the limit fits, one byte more does not, an empty one does")
	}
	if b, ok, err := c.TryGet(); !ok || err != nil || len(b) != p.MaxFrame() {
		t.Fatal(len(b), ok, err)
	}
	if b, ok, err := c.TryGet(); !ok || err != nil || len(b) != 0 {
		t.Fatal(len(b), ok, err)
	}
	for _, n := range []int{0, 255, 256, 256 + 63, 256 + 96} {
		if _, err := NewRing(region[:min(n, len(region))]); err == nil {
			t.Fatal("made a ring over bytes:", n)
		}
	}
	if _, err := NewRing(region[4:]); err == nil {
		t.Fatal("made a ring over misaligned memory")
	}
}

func TestRingCorrupt(t *testing.T) {
	put := func(region []byte, at int, v uint64) { binary.NativeEndian.PutUint64(region[at:], v) }
	for what, spoil := range map[string]func(region []byte){
		"head ahead":     func(b []byte) { put(b, 0, 1<<20) },
		"head odd":       func(b []byte) { put(b, 0, 9) },
		"head behind":    func(b []byte) { put(b, 0, math.MaxUint64-7) },
		"length":         func(b []byte) { binary.NativeEndian.PutUint32(b[ringHeader:], 100) },
		"length at edge": func(b []byte) { binary.NativeEndian.PutUint32(b[ringHeader:], math.MaxUint32-1) },
		"skip at start":  func(b []byte) { binary.NativeEndian.PutUint32(b[ringHeader:], skip) },
	} {
		r, region := newRing(t, 256, 0)
		p, c := r.Producer(nil), r.Consumer(nil)
		p.TryPut([]byte("hello"))
		spoil(region)
		if _, ok, err := c.TryGet(); ok || !errors.Is(err, ErrCorrupt) || !errors.Is(c.Err(), ErrCorrupt) {
			t.Errorf("%s: %v %v", what, ok, err)
		}
	}
	for _, tail := range []uint64{8 * 1000, 3, math.MaxUint64 - 7} {
		r, region := newRing(t, 64, 0)
		p := r.Producer(nil)
		p.TryPut(make([]byte, 20))
		p.TryPut(make([]byte, 20))
		put(region, 64, tail)
		if p.TryPut(make([]byte, 20)) || !errors.Is(p.Err(), ErrCorrupt) || p.TryPut() {
			t.Errorf("tail %d: %v", tail, p.Err())
		}
	}
}

// TestRingPairParks sends both ways through a pair with both sides asleep most of the time, and rings so small
// that they are full most of the time: a lost wake-up would stop it.
func TestRingPairParks(t *testing.T) {
	fd, err := CreateRingPair(256)
	must(t, err)
	defer CloseFD(fd)
	var bells [2]atomic.Uint32
	const frames = 20000
	done := make(chan error, 2)
	for side := range 2 {
		pair, err := OpenRingPair(fd, side, &bells[1-side])
		must(t, err)
		defer pair.Close()
		go func() { done <- talk(pair, &bells[side], frames) }()
	}
	for range 2 {
		must(t, <-done)
	}
}

// talk sends and receives frames that count up, and sleeps when it can do neither.
func talk(pair *RingPair, bell *atomic.Uint32, frames uint64) error {
	var b [40]byte
	for sent, got := uint64(0), uint64(0); sent < frames || got < frames; {
		seen := bell.Load()
		moved := false
		for sent < frames {
			binary.BigEndian.PutUint64(b[:], sent)
			if !pair.Out.TryPut(b[:8+sent%32]) {
				break
			}
			sent, moved = sent+1, true
		}
		pair.Out.Notify()
		for range 1 + got%3 {
			f, ok, err := pair.In.TryGet()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if n := binary.BigEndian.Uint64(f); n != got || uint64(len(f)) != 8+got%32 {
				return fmt.Errorf("got frame %d of %d bytes, want %d", n, len(f), got)
			}
			got, moved = got+1, true
		}
		pair.In.Advance()
		if !moved && pair.In.Park() {
			start := time.Now()
			Wait(bell, seen, 10*time.Second)
			pair.In.Unpark()
			if bell.Load() == seen && time.Since(start) > 9*time.Second {
				return fmt.Errorf("slept through: sent %d, got %d", sent, got)
			}
		}
	}
	return errors.Join(pair.Out.Err(), pair.In.Err())
}

// TestRingDozes sends frames there and back between two goroutines that doze, each at once or after some looks: should
// one miss its wake-up, it sleeps for the whole of a minute.
func TestRingDozes(t *testing.T) {
	fd, err := CreateRingPair(256)
	must(t, err)
	defer CloseFD(fd)
	var bell atomic.Uint32
	const frames = 20000
	done := make(chan error, 2)
	begin := time.Now()
	for side := range 2 {
		pair, err := OpenRingPair(fd, side, &bell)
		must(t, err)
		defer pair.Close()
		go func() { done <- doze(pair, side, frames) }()
	}
	for range 2 {
		must(t, <-done)
	}
	if d := time.Since(begin); d > time.Minute {
		t.Errorf("it took %v: a wake-up was lost", d)
	}
	if n := bell.Load(); n != 0 {
		t.Errorf("the doorbell of the processes rang %d times", n)
	}
}

// doze is one side: side 0 begins.
func doze(pair *RingPair, side, frames int) error {
	random := rand.New(rand.NewPCG(1, uint64(side)))
	for n := range frames {
		if side == 0 {
			if !pair.Out.TryPut([]byte{byte(n)}) {
				return errors.New("the ring is full")
			}
			pair.Out.Notify()
		}
		for looks := random.IntN(200); !pair.In.Pending(); looks-- {
			if looks <= 0 {
				pair.In.Doze(2 * time.Minute)
			}
		}
		b, ok, err := pair.In.TryGet()
		if !ok || b[0] != byte(n) {
			return fmt.Errorf("frame %d: %v, %w", n, b, err)
		}
		pair.In.Advance()
		if side == 1 {
			if !pair.Out.TryPut([]byte{byte(n)}) {
				return errors.New("the ring is full")
			}
			pair.Out.Notify()
		}
	}
	return nil
}

func TestRingPairRefuses(t *testing.T) {
	if _, err := CreateRingPair(100); err == nil {
		t.Fatal("made rings of 100 bytes")
	}
	fd, err := CreateRingPair(0)
	must(t, err)
	defer CloseFD(fd)
	if _, err := OpenRingPair(fd, 2, nil); err == nil {
		t.Fatal("opened side 2")
	}
	bad, _, err := CreateFile(5000, KindMemfd, "")
	must(t, err)
	defer CloseFD(bad)
	if _, err := OpenRingPair(bad, 0, nil); err == nil {
		t.Fatal("opened a file that holds no rings")
	}
}

// FuzzConsumer gives a consumer any memory: it ends, with frames that lie inside of the ring.
func FuzzConsumer(f *testing.F) {
	frame := binary.NativeEndian.AppendUint32(nil, 5)
	f.Add(uint64(0), uint64(16), append(frame, "hello"...))
	f.Add(uint64(0), uint64(8), binary.NativeEndian.AppendUint32(nil, skip))
	f.Add(uint64(math.MaxUint64-7), uint64(64), []byte{1, 0, 0, 0})
	f.Add(uint64(8), uint64(0), []byte{})
	f.Fuzz(func(t *testing.T, tail, head uint64, data []byte) {
		r, region := newRing(t, 256, tail)
		r.h.head.Store(head)
		copy(region[ringHeader:], data)
		c := r.Consumer(nil)
		for n := 0; ; n++ {
			b, ok, err := c.TryGet()
			if !ok {
				if err == nil && head != tail && c.next != head {
					t.Fatal("stopped in the middle")
				}
				break
			}
			if n > 256/8 {
				t.Fatal("more frames than fit")
			}
			if len(b) > r.MaxFrame() {
				t.Fatal("a frame above the limit:", len(b))
			}
		}
		c.Advance()
	})
}

func BenchmarkRing(b *testing.B) {
	r, _ := newRing(b, RingCapacity, 0)
	p, c := r.Producer(nil), r.Consumer(nil)
	msg := make([]byte, 100)
	b.ReportAllocs()
	for b.Loop() {
		p.TryPut(msg)
		p.Notify()
		c.TryGet()
		c.Advance()
	}
}
