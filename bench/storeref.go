package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/kadrehq/kadre/internal/shm"
	"github.com/kadrehq/kadre/objstore/arena"
)

// line is a word in a cache line of its own.
type line struct {
	atomic.Uint64
	_ [56]byte
}

// cas changes words that nobody else has.
func cas(ws []line) bool {
	ok := true
	for i := range ws {
		v := ws[i].Load()
		ok = ws[i].CompareAndSwap(v, v+1) && ok
	}
	return ok
}

var errCAS = errors.New("a CAS that nobody contends with failed")

// sink keeps what is computed for nothing.
var sink atomic.Uint64

// casHashCopy is the least that putting and deleting 1 KiB could be.
func casHashCopy(_ context.Context, n int) (float64, error) {
	words := make([]line, 6)
	from, to := make([]byte, 1<<10), make([]byte, 1<<10)
	sum := uint64(0)
	begin := time.Now()
	for i := range n {
		binary.LittleEndian.PutUint64(from, uint64(i))
		o := objectOf(uint64(i))
		sum += xxhash.Sum64(o[:])
		copy(to, from)
		if !cas(words) {
			return 0, errCAS
		}
	}
	took := time.Since(begin)
	sink.Add(sum + uint64(to[0]))
	return perOp(took, n, nanoseconds), nil
}

// casHash is the least that getting and releasing could be; with memory it also reads 64 B of it at random.
func (s *set) casHash(memory []byte) Side {
	r := rand.New(rand.NewPCG(seed, 2))
	at := make([]uint32, 1<<17)
	for i := range at {
		if len(memory) > 0 {
			at[i] = r.Uint32N(uint32(len(memory)/64)) * 64
		}
	}
	touch(memory, 1)
	return func(_ context.Context, n int) (float64, error) {
		words := make([]line, 2)
		sum := uint64(0)
		begin := time.Now()
		for i := range n {
			_, o := s.next()
			sum += xxhash.Sum64(o[:])
			if len(memory) > 0 {
				from := memory[at[i%len(at)]:]
				for j := 0; j < 64; j += 8 {
					sum += binary.LittleEndian.Uint64(from[j:])
				}
			}
			if !cas(words) {
				return 0, errCAS
			}
		}
		took := time.Since(begin)
		sink.Add(sum)
		return perOp(took, n, nanoseconds), nil
	}
}

func casPair(_ context.Context, n int) (float64, error) {
	words := make([]line, 1)
	begin := time.Now()
	for range n {
		if !words[0].CompareAndSwap(0, 1) || !words[0].CompareAndSwap(1, 0) {
			return 0, errCAS
		}
	}
	return perOp(time.Since(begin), n, nanoseconds), nil
}

// Sizes of row first-touch-1g.
const (
	touchBytes = 1 << 30
	touchRoom  = touchBytes + 4*arena.Granule

	touchWarmups = 2
)

func firstTouch(context.Context) (*Run, error) {
	extra := map[string]any{}
	ours := func() (took time.Duration, err error) {
		a, err := arena.Create(arena.Config{Size: touchRoom})
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, a.Close()) }()
		extra["backing"] = a.Backing().String()
		begin := time.Now()
		w, err := a.Create(objectOf(0), touchBytes, storeJob, 0)
		if err != nil {
			return 0, err
		}
		touch(w.Bytes(), 1)
		took = time.Since(begin)
		w.Abort()
		return took, nil
	}
	ref := func() (took time.Duration, err error) {
		fd, _, err := shm.CreateFile(touchBytes, shm.KindMemfd, "")
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, shm.CloseFD(fd)) }()
		m, err := shm.MapRW(fd, 0, touchBytes)
		if err != nil {
			return 0, err
		}
		begin := time.Now()
		touch(m, 1)
		took = time.Since(begin)
		return took, shm.Unmap(m)
	}
	return &Run{Ours: warmed(ours), Ref: warmed(ref), Extra: extra}, nil
}

// warmed does a thing, which gives back all its memory, a few times and counts the last: the memory that a virtual
// machine did not use for a while comes from its host at the first touch, which would be what is measured.
func warmed(do func() (time.Duration, error)) Side {
	return func(context.Context, int) (v float64, err error) {
		for range touchWarmups + 1 {
			took, err := do()
			if err != nil {
				return 0, err
			}
			v = float64(touchBytes) / (1 << 30) / took.Seconds()
		}
		return v, nil
	}
}
