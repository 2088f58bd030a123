package p2p

import (
	"encoding/binary"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

const benchFrame = 100 // bytes

// pairFor starts two members; b sends every frame back to a, which hands it to got.
func pairFor(b *testing.B, got func(f []byte)) (x, y *node) {
	tok := token(b, NewToken())
	x = start(b, tok, func(c *Config) { c.Control = func(_ id.Node, _ uint64, f []byte) { got(f) } })
	var back atomic.Pointer[node]
	y = start(b, tok, func(c *Config) {
		c.Join = x.Addrs()
		c.Control = func(from id.Node, _ uint64, f []byte) {
			for errors.Is(back.Load().Send(from, f), ErrFull) {
				runtime.Gosched()
			}
		}
	})
	back.Store(y)
	full(b, x, y)
	return x, y
}

// BenchmarkFrames sends frames and has them sent back, so many at a time.
func BenchmarkFrames(b *testing.B) {
	for _, c := range []struct {
		name string
		n    int
	}{{"ping", 1}, {"inflight-1000", 1000}} {
		b.Run(c.name, func(b *testing.B) {
			slots := make(chan struct{}, c.n)
			x, y := pairFor(b, func([]byte) { <-slots })
			var f [benchFrame]byte
			for b.Loop() {
				slots <- struct{}{}
				if err := x.Send(y.ID(), f[:]); err != nil {
					b.Fatal(err)
				}
			}
			for range c.n {
				slots <- struct{}{}
			}
		})
	}
}

// BenchmarkFlood sends frames one way as fast as they are taken; the last one comes back.
func BenchmarkFlood(b *testing.B) {
	tok := token(b, NewToken())
	done := make(chan struct{})
	var last atomic.Uint64
	x := start(b, tok, func(c *Config) {
		c.Control = func(_ id.Node, _ uint64, f []byte) {
			if binary.BigEndian.Uint64(f) == last.Load() {
				close(done)
			}
		}
	})
	y := start(b, tok, func(c *Config) { c.Join = x.Addrs() })
	full(b, x, y)
	var f [benchFrame]byte
	n := uint64(0)
	send := func(n uint64) {
		binary.BigEndian.PutUint64(f[:], n)
		for {
			err := y.Send(x.ID(), f[:])
			if err == nil {
				return
			}
			if !errors.Is(err, ErrFull) {
				b.Fatal(err)
			}
			runtime.Gosched()
		}
	}
	b.SetBytes(benchFrame)
	for b.Loop() {
		n++
		send(n)
	}
	last.Store(n + 1)
	send(n + 1)
	<-done
}
