package p2p

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/kadrehq/kadre/p2p/lane"
	"github.com/kadrehq/kadre/p2p/member"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// hostileMemory is far less than what one of the lengths that the hostile claim would take.
const hostileMemory = 256 << 20

// allocated is how many bytes f has the process allocate.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// insider agrees on a lane with a host as a node does that holds the token.
func insider(t *testing.T, a *node, tok string, kind lane.Kind) *lane.Conn {
	t.Helper()
	keys, err := admit.LoadToken(tok)
	if err != nil {
		t.Fatal(err)
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	e, err := lane.NewEndpoint(key, admit.Gate{Keys: keys, Cluster: "default"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	c, err := e.Dial(ctx, "tcp", a.ports[0].Addr().String(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	info := member.AppendDesc(make([]byte, 8), member.Desc{})
	if _, err := c.Hello(func(*lane.Hello) lane.Hello {
		return lane.Hello{Kind: kind, Epoch: 1, Lane: newLane(), Found: byte(member.FoundJoin), Info: info}
	}); err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if self := id.Node(p.String()); kind == lane.KindBulk || a.ID() < self {
		if no, err := c.Await(); err != nil || no != "" {
			t.Fatalf("%q, %v", no, err)
		}
	} else if err := c.Decide(""); err != nil {
		t.Fatal(err)
	}
	c.Settle()
	return c
}

// TestMemberOverTheLimits has nodes that hold the token send what is over a limit, or nonsense: their lanes end, nothing
// of the size that they claim is allocated, and honest members do not notice.
func TestMemberOverTheLimits(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	b := start(t, tok, func(c *Config) { c.Join = a.Addrs() })
	full(t, a, b)
	frame := func(n uint32, class lane.Class, body string) []byte {
		return append(append(binary.BigEndian.AppendUint32(nil, n), byte(class)), body...)
	}
	for name, c := range map[string]struct {
		kind lane.Kind
		b    []byte
	}{
		"a frame of 4 GiB":           {lane.KindControl, frame(1<<32-1, lane.FrameUser, "x")},
		"a frame one byte too large": {lane.KindControl, frame(MaxFrame+1, lane.FrameUser, "x")},
		"an unknown class":           {lane.KindControl, frame(1, 99, "x")},
		"a nonsensical message":      {lane.KindControl, frame(5, lane.FrameMember, "\xff\xff\xff\xff\xff")},
		"confirmed what was not":     {lane.KindControl, frame(8, lane.FrameConfirm, "\xff\xff\xff\xff\xff\xff\xff\xff")},
		"a short request":            {lane.KindControl, frame(1, lane.FrameAsk, "x")},
		"a bulk request of 4 GiB":    {lane.KindBulk, []byte{0xff, 0xff, 0xff, 0xff, 1}},
	} {
		var ended error
		if took := allocated(func() {
			conn := insider(t, a, tok, c.kind).NetConn()
			if _, err := conn.Write(c.b); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			conn.SetReadDeadline(time.Now().Add(time.Minute))
			_, ended = io.Copy(io.Discard, conn)
		}); took > hostileMemory {
			t.Errorf("%s: %d bytes were allocated", name, took)
		}
		if e, ok := ended.(net.Error); ok && e.Timeout() {
			t.Errorf("%s: the lane goes on", name)
		}
	}
	if err := a.Send(b.ID(), []byte("still here")); err != nil {
		t.Fatal(err)
	}
	until(t, time.Minute, "a frame between the honest", func() bool { return len(b.got(a.ID())) == 1 })
	if k := a.kinds(b.ID()); !slices.Equal(k, []EventKind{Up}) {
		t.Errorf("the other member: %v", k)
	}
}

// TestReplayedHandshake records all that a node says while it joins, and says it again.
func TestReplayedHandshake(t *testing.T) {
	t.Parallel()
	tok := token(t, NewToken())
	a := start(t, tok, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var said [][]byte // on each connection, by the dialer
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			to, err := net.Dial("tcp", a.ports[0].Addr().String())
			if err != nil {
				c.Close()
				continue
			}
			mu.Lock()
			n := len(said)
			said = append(said, nil)
			mu.Unlock()
			wg.Go(func() { io.Copy(c, to); c.Close() })
			wg.Go(func() {
				defer to.Close()
				for buf := make([]byte, 4096); ; {
					k, err := c.Read(buf)
					mu.Lock()
					said[n] = append(said[n], buf[:k]...)
					mu.Unlock()
					if _, e := to.Write(buf[:k]); e != nil || err != nil {
						return
					}
				}
			})
		}
	})
	b := start(t, tok, func(c *Config) { c.Join = []string{ln.Addr().String()} })
	full(t, a, b)
	b.Close()
	ln.Close()
	wg.Wait()
	until(t, time.Minute, "the end of the one that was recorded", func() bool { return slices.Contains(a.kinds(b.ID()), Down) })
	if len(said) == 0 || len(said[0]) < 500 {
		t.Fatalf("recorded %d connections", len(said))
	}
	for i, b := range said {
		c, err := net.Dial("tcp", a.ports[0].Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(time.Minute))
		c.Write(b) // the other end may close in the middle
		if _, err := io.Copy(io.Discard, c); err != nil {
			if e, ok := err.(net.Error); ok && e.Timeout() {
				t.Errorf("replay of connection %d goes on", i)
			}
		}
		c.Close()
	}
	if k := a.kinds(b.ID()); !slices.Equal(k, []EventKind{Up, Down}) || len(a.Members()) != 1 {
		t.Errorf("after the replay: %v, %d members", k, len(a.Members()))
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 'x'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := readMessage(bytes.NewReader(b)); err == nil && len(m) > len(b)-4 {
			t.Errorf("%d bytes of %d", len(m), len(b))
		}
	})
}

func FuzzInfo(f *testing.F) {
	f.Add(member.AppendDesc(make([]byte, 8), member.Desc{Inc: 1, Addrs: []string{"/ip4/1.2.3.4/tcp/5"}, Meta: []byte("m")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, d, err := parseInfo(b); err == nil && len(d.Addrs) > member.MaxAddrs {
			t.Errorf("%d addresses", len(d.Addrs))
		}
	})
}
