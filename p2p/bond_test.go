package p2p

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/invariant"
)

// breaker passes connections on and breaks each after a random number of bytes, anywhere in a frame, a TLS
// record or a handshake.
type breaker struct {
	ln     net.Listener
	to     atomic.Pointer[string]
	on     atomic.Bool
	broken atomic.Int64
	wg     sync.WaitGroup

	mu    sync.Mutex
	rand  *rand.Rand
	conns map[net.Conn]bool // nil: closed
}

func newBreaker(t testing.TB, seed uint64) *breaker {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &breaker{ln: ln, rand: rand.New(rand.NewPCG(seed, 2)), conns: map[net.Conn]bool{}}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		ln.Close()
		p.mu.Lock()
		for c := range p.conns {
			c.Close()
		}
		p.conns = nil
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *breaker) multiaddr() string {
	return fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", p.ln.Addr().(*net.TCPAddr).Port)
}

func (p *breaker) accept() {
	for {
		in, err := p.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp4", *p.to.Load())
		if err != nil {
			in.Close()
			continue
		}
		p.mu.Lock()
		if p.conns == nil {
			in.Close()
			out.Close()
			p.mu.Unlock()
			return
		}
		p.conns[in], p.conns[out] = true, true
		rest := new(atomic.Int64)
		rest.Store(int64(1<<10 + p.rand.IntN(256<<10)))
		hard := p.rand.IntN(2) == 0
		p.mu.Unlock()
		p.wg.Go(func() {
			var wg sync.WaitGroup
			wg.Go(func() { p.pass(in, out, rest, hard) })
			wg.Go(func() { p.pass(out, in, rest, hard) })
			wg.Wait()
			p.mu.Lock()
			delete(p.conns, in)
			delete(p.conns, out)
			p.mu.Unlock()
		})
	}
}

// pass ends both connections with itself. hard breaks them with a reset, which also loses what was not read.
func (p *breaker) pass(from, to net.Conn, rest *atomic.Int64, hard bool) {
	b := make([]byte, 16<<10)
	for {
		n, err := from.Read(b)
		if p.on.Load() && rest.Add(-int64(n)) < 0 {
			to.Write(b[:n/2])
			if hard {
				from.(*net.TCPConn).SetLinger(0)
				to.(*net.TCPConn).SetLinger(0)
			}
			p.broken.Add(1)
			break
		}
		if _, e := to.Write(b[:n]); err != nil || e != nil {
			break
		}
	}
	from.Close()
	to.Close()
}

// TestFramesSurviveLanes sends numbered frames both ways over lanes that keep breaking.
func TestFramesSurviveLanes(t *testing.T) {
	t.Parallel()
	frames := 100_000
	if testing.Short() || invariant.Race {
		frames = 10_000
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	tok := token(t, NewToken())
	type side struct {
		*node
		p    *breaker
		got  atomic.Uint64
		bad  atomic.Pointer[string]
		full int
	}
	sides := [2]*side{}
	for i := range sides {
		s := &side{p: newBreaker(t, seed+uint64(i))}
		s.node = start(t, tok, func(c *Config) {
			c.announce = []string{s.p.multiaddr()}
			if i == 1 {
				c.Join = []string{sides[0].p.multiaddr()}
			}
			addr := free(t)
			c.Listen = []string{addr}
			s.p.to.Store(&addr)
			c.Control = func(_ id.Node, _ uint64, f []byte) {
				if n, want := binary.BigEndian.Uint64(f), s.got.Add(1); n != want {
					text := fmt.Sprintf("frame %d came as number %d", n, want)
					s.bad.CompareAndSwap(nil, &text)
				}
			}
		})
		sides[i] = s
	}
	a, b := sides[0], sides[1]
	full(t, a.node, b.node)
	for _, s := range sides {
		s.p.on.Store(true)
	}
	var wg sync.WaitGroup
	for i, s := range sides {
		to := sides[1-i].ID()
		r := rand.New(rand.NewPCG(seed, uint64(i)+7))
		wg.Go(func() {
			var buf [256]byte
			for n := 1; n <= frames; {
				binary.BigEndian.PutUint64(buf[:], uint64(n))
				switch err := s.Send(to, buf[:8+r.IntN(len(buf)-8)]); {
				case err == nil:
					n++
				case errors.Is(err, ErrFull):
					s.full++
					<-time.After(time.Millisecond)
				default:
					t.Errorf("frame %d: %v", n, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	until(t, time.Minute, "all frames", func() bool {
		return a.bad.Load() != nil || b.bad.Load() != nil || a.got.Load() >= uint64(frames) && b.got.Load() >= uint64(frames)
	})
	for _, s := range sides {
		s.p.on.Store(false)
	}
	for i, s := range sides {
		if bad := s.bad.Load(); bad != nil {
			t.Error(*bad)
		}
		if k := s.kinds(sides[1-i].ID()); !slices.Equal(k, []EventKind{Up}) {
			t.Errorf("events %v", k)
		}
	}
	until(t, time.Minute, "the last confirmations", func() bool {
		for _, s := range sides {
			for _, l := range s.Status().Lanes {
				if l.Kept != 0 {
					return false
				}
			}
		}
		return true
	})
	t.Logf("broken %d and %d times, full %d and %d times", a.p.broken.Load(), b.p.broken.Load(), a.full, b.full)
	if a.p.broken.Load()+b.p.broken.Load() == 0 {
		t.Error("no lane broke")
	}
}
