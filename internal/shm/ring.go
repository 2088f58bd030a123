package shm

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"unsafe"
)

const (
	// RingCapacity is the default number of data bytes of a ring.
	RingCapacity = 1 << 20
	// minRing keeps a frame of a few bytes possible.
	minRing = 64
	// maxRing keeps lengths well inside 32 bits.
	maxRing = 1 << 30
	// ringHeader is the room of a ring's header, whole cache lines.
	ringHeader = 256
	// frameHeader is the room of a frame's length.
	frameHeader = 4
	// skip stands in place of a length and means: the next frame is at the start of the ring.
	skip = math.MaxUint32
)

// ErrCorrupt says that the other end of a ring wrote what no correct end writes. The ring is of no more use.
var ErrCorrupt = errors.New("shm: ring corrupt")

// header is the shared part of a ring. Positions count bytes from the start of time, so full and empty
// differ; they are multiples of 8 and wrap after 2^64 bytes.
type header struct {
	head atomic.Uint64 // written by the producer: everything below is filled
	_    [56]byte
	tail atomic.Uint64 // written by the consumer: everything below is free again
	_    [56]byte

	parked atomic.Uint32 // set by the consumer before it sleeps, cleared by the producer that wakes it
	wants  atomic.Uint32 // set by a producer that found no room, cleared by the consumer that wakes it
	dozes  atomic.Uint32 // the futex of a consumer that dozes, bumped by the producer that wakes it
	_      [116]byte
}

// Values of header.parked.
const (
	notParked = iota
	atBell    // the consumer's process sleeps on its doorbell
	dozing    // the goroutine that has the consumer sleeps on the ring itself
)

// Ring is a byte ring in shared memory for one producer and one consumer. A frame is its length in 4 bytes
// and its payload, padded to 8, in one piece.
type Ring struct {
	h    *header
	data []byte
	mask uint64
}

// NewRing lays a ring over a region of shared memory which is zero or already holds one. The region has the
// length that [RingSize] gives.
func NewRing(region []byte) (*Ring, error) {
	n := len(region) - ringHeader
	if n < minRing || n > maxRing || n&(n-1) != 0 {
		return nil, fmt.Errorf("shm: ring over %d bytes: the part after %d bytes of header must be a power of two from %d to %d", len(region), ringHeader, minRing, maxRing)
	}
	p := unsafe.Pointer(unsafe.SliceData(region))
	if uintptr(p)%8 != 0 {
		return nil, fmt.Errorf("shm: ring over memory at %p: it must be aligned to 8 bytes", p)
	}
	return &Ring{h: (*header)(p), data: region[ringHeader:], mask: uint64(n - 1)}, nil
}

// RingSize is the size of the region for a ring of a capacity.
func RingSize(capacity int) int { return ringHeader + capacity }

// MaxFrame is the longest payload a ring takes: with its header half of the capacity, so that an empty ring
// always has room for it in one piece.
func (r *Ring) MaxFrame() int { return len(r.data)/2 - frameHeader }

// length is the word of a frame's length at offset o.
func (r *Ring) length(o uint64) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&r.data[o]))
}

// padded is the room that a frame with n bytes of payload takes.
func padded(n int) uint64 { return uint64(frameHeader+n+7) &^ 7 }

// Bell bumps a doorbell and wakes whoever sleeps on it.
func Bell(w *atomic.Uint32) {
	if w != nil {
		w.Add(1)
		Wake(w, math.MaxInt32)
	}
}

// Word is the word at an offset of shared memory, a multiple of 4 that lies inside.
func Word(mem []byte, offset int) *atomic.Uint32 {
	_ = mem[offset : offset+4 : len(mem)]
	return (*atomic.Uint32)(unsafe.Pointer(&mem[offset]))
}
