package lane

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func endpoint(t testing.TB, k admit.Keys) (*Endpoint, peer.ID) {
	t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEndpoint(key, admit.Gate{Keys: k, Cluster: "c"})
	if err != nil {
		t.Fatal(err)
	}
	return e, p
}

func port(t testing.TB) *Port {
	t.Helper()
	p, err := Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// pair gives both ends of an agreed connection.
func pair(t testing.TB) (d, l *Conn) {
	t.Helper()
	k := admit.NewKeys()
	de, dp := endpoint(t, k)
	le, lp := endpoint(t, k)
	p := port(t)
	var wg sync.WaitGroup
	var lerr error
	wg.Go(func() {
		raw, err := p.Lanes().Accept()
		if err == nil {
			l, err = le.Accept(context.Background(), raw)
		}
		if err == nil {
			_, err = l.Hello(func(h *Hello) Hello { return Hello{Kind: h.Kind, Epoch: 2, Lane: h.Lane, Info: h.Info} })
		}
		if err == nil {
			err = l.Decide("")
		}
		lerr = err
	})
	d, err := de.Dial(context.Background(), "tcp", p.Addr().String(), lp)
	if err != nil {
		t.Fatal(err)
	}
	h, err := d.Hello(func(*Hello) Hello { return Hello{Kind: KindControl, Epoch: 1, Lane: 7, Info: []byte("info")} })
	if err != nil || h.Epoch != 2 || h.Lane != 7 || string(h.Info) != "info" {
		t.Fatalf("%+v, %v", h, err)
	}
	if no, err := d.Await(); no != "" || err != nil {
		t.Fatal(no, err)
	}
	if wg.Wait(); lerr != nil {
		t.Fatal(lerr)
	}
	if l.Peer != dp || d.Peer != lp {
		t.Fatalf("%s met %s", l.Peer, d.Peer)
	}
	d.Settle()
	l.Settle()
	t.Cleanup(func() { d.Close(); l.Close() })
	return d, l
}

func TestControl(t *testing.T) {
	d, l := pair(t)
	ab, bb := NewBond(), NewBond()
	a, b := ab.Lane(d), bb.Lane(l)
	var mu sync.Mutex
	var got []string
	all := make(chan bool)
	const n = 1000
	var wg sync.WaitGroup
	wg.Go(func() { a.Run(func(Class, []byte) {}) })
	wg.Go(func() {
		b.Run(func(k Class, p []byte) {
			mu.Lock()
			defer mu.Unlock()
			if k == FrameUser {
				got = append(got, string(p))
			}
			if len(got) == n+1 {
				close(all)
			}
		})
	})
	for i := range n {
		if err := ab.Send(fmt.Appendf(nil, "h%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	big := bytes.Repeat([]byte("x"), MaxFrame)
	if err := ab.Send(big); err != nil {
		t.Fatal(err)
	}
	if err := ab.Send(append([]byte("h"), big...)); !errors.Is(err, ErrTooBig) {
		t.Errorf("%v", err)
	}
	a.Flush()
	<-all
	for i, s := range got[:n] {
		if s != fmt.Sprintf("h%d", i) {
			t.Fatalf("frame %d is %q", i, s)
		}
	}
	if got[n] != string(big) || !b.Heard() || b.Heard() {
		t.Error("the big frame, or being heard")
	}
	a.Cut(errors.New("enough"))
	wg.Wait()
	if err := a.Send(FrameAsk, nil, nil); !errors.Is(err, ErrClosed) || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v", err)
	}
}

func TestFullQueueRefuses(t *testing.T) {
	d, _ := pair(t)
	ab := NewBond()
	a := ab.Lane(d) // not running
	var err error
	sent := 0
	for err == nil {
		err = ab.Send(make([]byte, 1<<20))
		sent++
	}
	if !errors.Is(err, ErrFull) || sent > maxKept>>20+1 {
		t.Errorf("%d sent, %v", sent, err)
	}
	if err := a.Send(FrameMember, nil, []byte("urgent")); err != nil {
		t.Errorf("an urgent frame: %v", err)
	}
}

func TestBadFrameEndsTheLane(t *testing.T) {
	d, l := pair(t)
	b := NewBond().Lane(l)
	if _, err := d.rw.Write([]byte{0xff, 0, 0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	if err := b.Run(func(Class, []byte) {}); !errors.Is(err, ErrFrame) {
		t.Errorf("%v", err)
	}
}

func TestBulk(t *testing.T) {
	d, l := pair(t)
	data := make([]byte, 5<<20+17)
	rand.Read(data)
	released := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		NewBulk(l).Serve(func(req []byte) ([]byte, []byte, func(), error) {
			if len(req) == 0 {
				return nil, nil, nil, errors.New("an empty request")
			}
			return append([]byte("for "), req...), data[:len(data)/len(req)], func() { released++ }, nil
		}, func(int) {})
	})
	b := NewBulk(d)
	var remote *RemoteError
	if _, _, _, err := b.Fetch(context.Background(), nil, nil); !errors.As(err, &remote) || remote.Text != "an empty request" {
		t.Fatalf("%v", err)
	}
	for i := 1; i < 4; i++ {
		var dst []byte
		meta, n, _, err := b.Fetch(context.Background(), bytes.Repeat([]byte("q"), i), func(_ []byte, n int) ([]byte, error) {
			dst = make([]byte, n)
			return dst, nil
		})
		if err != nil || n != len(data)/i || !bytes.Equal(dst, data[:n]) || string(meta) != "for "+strings.Repeat("q", i) {
			t.Fatalf("%d: %q, %d bytes, %v", i, meta, n, err)
		}
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("enough")
	_, _, _, err := b.Fetch(ctx, []byte("q"), func(_ []byte, n int) ([]byte, error) { cancel(why); return make([]byte, n), nil })
	if err != nil && !errors.Is(err, why) {
		t.Errorf("cancelled: %v", err)
	}
	b.Cut()
	wg.Wait()
	if released < 3 {
		t.Errorf("released %d times", released)
	}
}

func TestWrongPeerAndStrangers(t *testing.T) {
	k := admit.NewKeys()
	e, _ := endpoint(t, k)
	le, _ := endpoint(t, k)
	_, other := endpoint(t, k)
	stranger, _ := endpoint(t, admit.NewKeys())
	p := port(t)
	ln := p.Lanes()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			raw, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				if c, err := le.Accept(context.Background(), raw); err == nil {
					c.Close()
				}
			})
		}
	})
	if _, err := e.Dial(context.Background(), "tcp", p.Addr().String(), other); !errors.Is(err, ErrPeer) {
		t.Errorf("another node: %v", err)
	}
	if _, err := stranger.Dial(context.Background(), "tcp", p.Addr().String(), ""); !errors.Is(err, admit.ErrToken) {
		t.Errorf("a stranger: %v", err)
	}
	p.Close()
	wg.Wait()
}

func TestPortSharesAndBounds(t *testing.T) {
	p := port(t)
	dial := func(first string) net.Conn {
		c, err := net.Dial("tcp", p.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		io.WriteString(c, first)
		return c
	}
	lanes, libp2p := p.Lanes(), p.Libp2p()
	silent := dial("")
	for range maxStrangersAddr { // the oldest of this address goes
		dial("")
	}
	silent.SetReadDeadline(time.Now().Add(silentFor))
	if _, err := silent.Read(make([]byte, 1)); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the oldest silent connection: %v", err)
	}
	dial("\x16one")
	dial("\x13two")
	rubbish := dial("GET / HTTP/1.1\r\n")
	for ln, want := range map[net.Listener]string{lanes: "\x16one", libp2p: "\x13two"} {
		c, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4)
		if _, err := io.ReadFull(c, b); err != nil || string(b) != want {
			t.Errorf("%q, %v", b, err)
		}
		c.Close()
	}
	if _, err := rubbish.Read(make([]byte, 1)); err == nil {
		t.Error("rubbish was answered")
	}
	libp2p.Close()
	if _, err := libp2p.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("%v", err)
	}
	if _, err := Listen("tcp4", p.Addr().String()); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, FrameUser, []byte("h"), []byte("payload")))
	f.Add([]byte{0, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			k, p, need, err := parseFrame(b)
			if err != nil || len(b) < need {
				return
			}
			if k == 0 || k >= frameClasses || len(p) != need-frameHead {
				t.Fatalf("class %d, %d bytes of %d", k, len(p), need)
			}
			b = b[need:]
		}
	})
}

func FuzzHello(f *testing.F) {
	f.Add(Hello{Kind: KindBulk, Epoch: 1, Lane: 2, Last: 3, Bond: 4, Found: 5, Info: []byte("i")}.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := ParseHello(b); err == nil && !bytes.Equal(h.Append(nil), b) {
			t.Errorf("%x became %+v", b, h)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add(make([]byte, answerHead))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < answerHead {
			return
		}
		if _, m, d, err := parseAnswer([answerHead]byte(b)); err == nil && (m > MaxBulkMeta || d > MaxBulkData) {
			t.Error("over the limits")
		}
	})
}
