package lane

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// meetUnix has two endpoints meet over a unix socket.
func meetUnix(t *testing.T, de, le *Endpoint, want peer.ID) (d, l *Conn, derr, lerr error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	ln, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		raw, err := ln.Accept()
		if err != nil {
			lerr = err
			return
		}
		l, lerr = le.Accept(context.Background(), raw)
	})
	d, derr = de.Dial(context.Background(), "unix", path, want)
	wg.Wait()
	t.Cleanup(func() {
		for _, c := range []*Conn{d, l} {
			if c != nil {
				c.Close()
			}
		}
	})
	return d, l, derr, lerr
}

func TestUnix(t *testing.T) {
	k := admit.NewKeys()
	de, dp := endpoint(t, k)
	le, lp := endpoint(t, k)
	other, op := endpoint(t, admit.NewKeys())

	d, l, derr, lerr := meetUnix(t, de, le, lp)
	if derr != nil || lerr != nil || d.Peer != lp || l.Peer != dp || d.Via != ViaUnix || d.Version != admit.VersionMax {
		t.Fatalf("%+v, %v; %+v, %v", d, derr, l, lerr)
	}
	// A bulk lane carries data over it as it does over TLS.
	data := make([]byte, 3<<20+17)
	rand.Read(data)
	var wg sync.WaitGroup
	wg.Go(func() {
		NewBulk(l).Serve(func(req []byte) ([]byte, []byte, func(), error) { return req, data, nil, nil }, func(int) {})
	})
	got := make([]byte, len(data))
	d.Settle()
	b := NewBulk(d)
	meta, n, _, err := b.Fetch(t.Context(), []byte("all"), func(_ []byte, n int) ([]byte, error) { return got[:n], nil })
	if err != nil || string(meta) != "all" || n != len(data) || !bytes.Equal(got, data) {
		t.Errorf("%q, %d bytes, %v", meta, n, err)
	}
	b.Cut()
	wg.Wait()

	if _, _, derr, lerr := meetUnix(t, other, le, lp); !errors.Is(derr, admit.ErrToken) || !errors.Is(lerr, admit.ErrToken) {
		t.Errorf("another token: %v; %v", derr, lerr)
	}
	if _, _, derr, _ := meetUnix(t, de, le, op); !errors.Is(derr, ErrPeer) {
		t.Errorf("another node: %v", derr)
	}
	if _, err := ListenUnix(filepath.Join("/tmp", strings.Repeat("x", 108))); err == nil || !strings.Contains(err.Error(), "shorter") {
		t.Errorf("a path that is too long: %v", err)
	}
}

// TestUnixReplay plays back what a member said before: the listener's nonce is another one.
func TestUnixReplay(t *testing.T) {
	k := admit.NewKeys()
	de, _ := endpoint(t, k)
	le, _ := endpoint(t, k)
	accept := func(raw net.Conn) (err error) {
		c, err := le.Accept(context.Background(), raw)
		if err == nil {
			c.Close()
		}
		return err
	}
	dir := t.TempDir()
	ln, err := ListenUnix(filepath.Join(dir, "listener"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	tap, err := ListenUnix(filepath.Join(dir, "tap"))
	if err != nil {
		t.Fatal(err)
	}
	defer tap.Close()
	var said bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() { // in the middle, as only a process of the same user can be
		in, err := tap.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("unix", ln.Addr().String())
		if err != nil {
			in.Close()
			return
		}
		wg.Go(func() { io.Copy(in, out); in.Close() })
		io.Copy(io.MultiWriter(out, &said), in)
		out.Close()
	})
	first := make(chan error, 1)
	wg.Go(func() {
		raw, err := ln.Accept()
		if err == nil {
			err = accept(raw)
		}
		first <- err
	})
	c, err := de.Dial(context.Background(), "unix", tap.Addr().String(), "")
	if err != nil || <-first != nil {
		t.Fatal(err)
	}
	c.Close()
	wg.Wait()

	again, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	again.SetDeadline(time.Now().Add(5 * time.Second))
	go again.Write(said.Bytes())
	raw, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	if err := accept(raw); err == nil || !strings.Contains(err.Error(), "signature") {
		t.Errorf("a replay: %v", err)
	}
}

func FuzzUnixHello(f *testing.F) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	pub, err := crypto.MarshalPublicKey(key.GetPublic())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append(make([]byte, nonceBytes), pub...))
	f.Add(make([]byte, nonceBytes))
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := parseUnixHello(b); err == nil && k == nil {
			t.Error("no key and no error")
		}
	})
}
