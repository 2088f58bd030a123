package admit

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func keys(t testing.TB, tokens ...string) Keys {
	t.Helper()
	k, err := Parse(tokens...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// pipe gives both ends of a TLS connection.
func pipe(t *testing.T, version uint16) (dialer, listener *tls.Conn) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, pub, priv)
	if err != nil {
		t.Fatal(err)
	}
	a, b := net.Pipe()
	t.Cleanup(func() { a.Close(); b.Close() })
	dialer = tls.Client(a, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
	listener = tls.Server(b, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: priv}}, MaxVersion: version})
	var wg sync.WaitGroup
	wg.Go(func() { listener.Handshake() })
	if err := dialer.Handshake(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	return dialer, listener
}

// meet lets two gates prove themselves to each other.
func meet(t *testing.T, d, l Gate) (dialed, listened error) {
	t.Helper()
	dc, lc := pipe(t, tls.VersionTLS13)
	by := time.Now().Add(5 * time.Second)
	dc.SetDeadline(by)
	lc.SetDeadline(by)
	var wg sync.WaitGroup
	wg.Go(func() { _, listened = l.Prove(lc, lc.ConnectionState(), UseLane, false) })
	_, dialed = d.Prove(dc, dc.ConnectionState(), UseLane, true)
	wg.Wait()
	return dialed, listened
}

func TestProve(t *testing.T) {
	a, b := NewToken(), NewToken()
	for _, c := range []struct {
		name string
		d, l Gate
		want error
	}{
		{"same token", Gate{Keys: keys(t, a), Cluster: "c"}, Gate{Keys: keys(t, a), Cluster: "c"}, nil},
		{"another token", Gate{Keys: keys(t, a), Cluster: "c"}, Gate{Keys: keys(t, b), Cluster: "c"}, ErrToken},
		{"another cluster", Gate{Keys: keys(t, a), Cluster: "c"}, Gate{Keys: keys(t, a), Cluster: "other"}, ErrCluster},
		{"rotating, listener first", Gate{Keys: keys(t, a, b), Cluster: "c"}, Gate{Keys: keys(t, b, a), Cluster: "c"}, nil},
		{"dialer proves what the listener has not learned", Gate{Keys: keys(t, b, a), Cluster: "c"}, Gate{Keys: keys(t, a), Cluster: "c"}, ErrToken},
		{"listener proves what the dialer has not learned", Gate{Keys: keys(t, a), Cluster: "c"}, Gate{Keys: keys(t, b, a), Cluster: "c"}, ErrToken},
	} {
		d, l := meet(t, c.d, c.l)
		if !errors.Is(d, c.want) {
			t.Errorf("%s: dialer %v", c.name, d)
		}
		if !errors.Is(l, c.want) && !strings.HasPrefix(c.name, "listener proves") {
			t.Errorf("%s: listener %v", c.name, l)
		}
	}
}

func TestProofIsBoundToItsConnection(t *testing.T) {
	g := Gate{Keys: keys(t, NewToken()), Cluster: "c"}
	d1, _ := pipe(t, tls.VersionTLS13)
	e1, err := exporter(d1.ConnectionState(), UseLane)
	if err != nil {
		t.Fatal(err)
	}
	h := []byte{magic[0], magic[1], VersionMin, VersionMax, 1, 'c'}
	proof := append(h[:6:6], mac(g.Keys.Now().k[0], "dialer", e1, h)...)
	_, l2 := pipe(t, tls.VersionTLS13)
	for _, use := range []Use{UseLane, UseLibp2p} {
		e2, err := exporter(l2.ConnectionState(), use)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.listen(buffer{bytes.NewReader(proof)}, e2); !errors.Is(err, ErrToken) {
			t.Errorf("a replayed proof: %v", err)
		}
	}
	if _, err := g.listen(buffer{bytes.NewReader(proof)}, e1); err != nil {
		t.Errorf("the proof itself: %v", err)
	}
}

func TestVersions(t *testing.T) {
	g := Gate{Keys: keys(t, NewToken()), Cluster: "c"}
	ekm := make([]byte, 32)
	for _, c := range []struct {
		min, max byte
		ok       bool
	}{{VersionMax, VersionMax, true}, {1, VersionMax + 1, true}, {VersionMax + 1, VersionMax + 2, false}, {1, VersionMin - 1, false}} {
		h := []byte{magic[0], magic[1], c.min, c.max, 1, 'c'}
		_, err := g.listen(buffer{bytes.NewReader(append(h[:6:6], mac(g.Keys.Now().k[0], "dialer", ekm, h)...))}, ekm)
		if (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrVersion) {
			t.Errorf("%d to %d: %v", c.min, c.max, err)
		}
	}
	if _, err := g.dial(buffer{bytes.NewReader([]byte{statusVersion, 7, 0})}, ekm); !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), "7") {
		t.Errorf("refused for its version: %v", err)
	}
}

// TestVersionsMeet has builds of different versions meet: neighbours agree on the highest that both speak, others
// hear of both ranges on both sides.
func TestVersionsMeet(t *testing.T) {
	g := Gate{Keys: keys(t, NewToken()), Cluster: "c"}
	for _, c := range []struct {
		d, l [2]byte
		want byte // 0: refused
	}{
		{[2]byte{3, 4}, [2]byte{2, 3}, 3}, {[2]byte{2, 3}, [2]byte{3, 4}, 3}, {[2]byte{4, 4}, [2]byte{3, 4}, 4},
		{[2]byte{5, 6}, [2]byte{3, 4}, 0}, {[2]byte{3, 4}, [2]byte{5, 6}, 0},
	} {
		dc, lc := pipe(t, tls.VersionTLS13)
		dc.SetDeadline(time.Now().Add(5 * time.Second))
		lc.SetDeadline(time.Now().Add(5 * time.Second))
		var wg sync.WaitGroup
		var said, heard Proven
		var lerr error
		wg.Go(func() { heard, lerr = g.Speaking(c.l[0], c.l[1]).Prove(lc, lc.ConnectionState(), UseLane, false) })
		said, derr := g.Speaking(c.d[0], c.d[1]).Prove(dc, dc.ConnectionState(), UseLane, true)
		wg.Wait()
		if said.Version != c.want || heard.Version != c.want || said.Key != heard.Key || (derr == nil) != (c.want > 0) || (lerr == nil) != (c.want > 0) {
			t.Errorf("%v dials %v: %v, %v; %v, %v", c.d, c.l, said, derr, heard, lerr)
		}
		for _, e := range []struct {
			err          error
			ours, theirs [2]byte
		}{{derr, c.d, c.l}, {lerr, c.l, c.d}} {
			both := fmt.Sprintf("ours are %d to %d, its %d to %d", e.ours[0], e.ours[1], e.theirs[0], e.theirs[1])
			if c.want == 0 && (!errors.Is(e.err, ErrVersion) || !strings.Contains(e.err.Error(), both)) {
				t.Errorf("the refusal does not say %q but %v", both, e.err)
			}
		}
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	d, _ := pipe(t, tls.VersionTLS12)
	if _, err := (Gate{Keys: NewKeys(), Cluster: "c"}).Prove(d, d.ConnectionState(), UseLane, true); err == nil {
		t.Error("TLS 1.2 was taken")
	}
}

func TestTokens(t *testing.T) {
	a := NewToken()
	if b := NewToken(); a == b {
		t.Fatal("two tokens are one")
	}
	if _, err := Parse(strings.ToUpper(a)); err != nil {
		t.Errorf("in capitals: %v", err)
	}
	for i := len(tokenPrefix); i < len(a); i++ {
		b := []byte(a)
		if b[i] = 'a'; a[i] == 'a' {
			b[i] = 'b'
		}
		if _, err := Parse(string(b)); !errors.Is(err, ErrChecksum) {
			t.Errorf("mistyped at %d: %v", i, err)
		}
	}
	if _, err := Parse(a, a, a); !errors.Is(err, ErrForm) {
		t.Errorf("three tokens: %v", err)
	}
	k := keys(t, a)
	if s := fmt.Sprintf("%v %+v %#v %s", k, k, k, k); strings.Contains(s, fmt.Sprintf("%v", k.k[0])) || !strings.Contains(s, "hidden") {
		t.Errorf("keys print as %s", s)
	}
}

func TestSecretIsDrawnOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	got := make([]Keys, 8)
	var wg sync.WaitGroup
	for i := range got {
		wg.Go(func() {
			var err error
			if got[i], err = LoadOrCreateSecret(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range got {
		if len(k.k) != 1 || !bytes.Equal(k.k[0], got[0].k[0]) {
			t.Fatal("two secrets")
		}
	}
	l, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(l) != 1 {
		t.Errorf("left behind: %v, %v", l, err)
	}
}

// buffer reads from r and forgets what is written.
type buffer struct{ r *bytes.Reader }

func (b buffer) Read(p []byte) (int, error)  { return b.r.Read(p) }
func (b buffer) Write(p []byte) (int, error) { return len(p), nil }

func FuzzListen(f *testing.F) {
	g := Gate{Keys: keys(f, "kadre1"+text.EncodeToString(append(make([]byte, tokenBytes), sum(make([]byte, tokenBytes))...))), Cluster: "c"}
	ekm := make([]byte, 32)
	h := []byte{magic[0], magic[1], VersionMin, VersionMax, 1, 'c'}
	f.Add(append(h[:6:6], mac(g.Keys.Now().k[0], "dialer", ekm, h)...))
	f.Add(h)
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := g.listen(buffer{bytes.NewReader(b)}, ekm); err == nil && (v.Version != VersionMax || !bytes.HasPrefix(b, magic[:])) {
			t.Errorf("%x was let in", b)
		}
	})
}

func FuzzDial(f *testing.F) {
	g := Gate{Keys: NewKeys(), Cluster: "c"}
	f.Add([]byte{statusOK, 1, 0})
	f.Add([]byte{statusCluster, 1, 2, 'x', 'y'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := g.dial(buffer{bytes.NewReader(b)}, make([]byte, 32)); err == nil {
			t.Errorf("%x proved itself", b)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add(NewToken())
	f.Add("kadre1")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := Parse(s); err == nil && len(k.k) != 1 {
			t.Error("no key")
		}
	})
}
