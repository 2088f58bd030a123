package admit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Versions of the protocol that this build speaks. Neighbours agree on the highest both have.
const (
	VersionMin = 3 // 1 lost frames with their lane, 2 had another membership
	VersionMax = 3
)

// MaxCluster bounds the name of a cluster.
const MaxCluster = 64

// Why a peer is not let in. Both ends get one of these, with words of their own around it.
var (
	ErrToken   = errors.New("the two nodes have different cluster tokens or secrets: start both with the same --token-file, or both without one as the same user")
	ErrVersion = errors.New("the two nodes have no protocol version in common: update the older one")
	ErrCluster = errors.New("the two nodes belong to different clusters, as --cluster says")
	ErrProof   = errors.New("not a proof of admission")
	ErrDenied  = errors.New("one of the two nodes is on the other's list of the denied, as --deny-file says")
)

// A proof starts with the magic bytes, so that another protocol is told apart at once.
var magic = [2]byte{'K', 'A'}

const (
	macBytes    = sha256.Size
	helloFixed  = 5 // magic, min, max, length of the cluster's name
	answerFixed = 3 // status, version, length of the cluster's name

	statusOK      = 0
	statusToken   = 1
	statusVersion = 2
	statusCluster = 3
	statusDenied  = 4
)

// Use is what a connection is for; a proof for one use is none for another.
type Use string

// The uses of a connection.
const (
	UseLane   Use = "lane"
	UseLibp2p Use = "libp2p"
)

// Gate is what one node demands of its peers. It is a value, safe for concurrent use.
type Gate struct {
	Keys    Source
	Cluster string
	// Denied says which peers are kept out though they hold the keys; nil: none.
	Denied func(peer.ID) bool

	peer           peer.ID // of the connection; empty: not known
	oldest, newest byte    // the versions it speaks; 0 is this build's, others are for tests
}

// Speaking gives the gate of a build that speaks other versions, so that tests can have two of them meet.
func (g Gate) Speaking(oldest, newest byte) Gate {
	g.oldest, g.newest = oldest, newest
	return g
}

func (g Gate) versions() (oldest, newest byte) {
	if g.newest == 0 {
		return VersionMin, VersionMax
	}
	return g.oldest, g.newest
}

// For is the gate for a connection whose peer TLS has proved to be p.
func (g Gate) For(p peer.ID) Gate {
	g.peer = p
	return g
}

func (g Gate) denies() bool { return g.Denied != nil && g.peer != "" && g.Denied(g.peer) }

// exporter binds a proof to this TLS connection.
func exporter(st tls.ConnectionState, use Use) ([]byte, error) {
	if st.Version != tls.VersionTLS13 {
		return nil, errors.New("admit: TLS 1.3 is required") // the exporter of older versions binds less
	}
	return st.ExportKeyingMaterial("EXPORTER-kadre-admission", []byte(use), 32)
}

func mac(key []byte, role string, ekm []byte, parts ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	io.WriteString(m, role)
	m.Write(ekm)
	for _, p := range parts {
		m.Write(p)
	}
	return m.Sum(nil)
}

// Prove shows the peer of c that this node may enter and demands the same of it. The caller sets a deadline;
// after an error it calls [Linger] (listener only) and closes c.
func (g Gate) Prove(c net.Conn, st tls.ConnectionState, use Use, dialer bool) (Proven, error) {
	ekm, err := exporter(st, use)
	if err != nil {
		return Proven{}, err
	}
	return g.prove(c, ekm, dialer)
}

// ProveOver is Prove for a connection without TLS that nobody else can be in the middle of. transcript is what
// both sides have drawn and signed for this connection alone; it takes the exporter's place.
func (g Gate) ProveOver(c io.ReadWriter, transcript [sha256.Size]byte, dialer bool) (Proven, error) {
	return g.prove(c, mac(transcript[:], "kadre-admission-without-tls", nil), dialer)
}

func (g Gate) prove(c io.ReadWriter, ekm []byte, dialer bool) (Proven, error) {
	if dialer {
		return g.dial(c, ekm)
	}
	return g.listen(c, ekm)
}

func (g Gate) dial(c io.ReadWriter, ekm []byte) (Proven, error) {
	if g.denies() {
		return Proven{}, fmt.Errorf("admit: refused a peer: %w", ErrDenied)
	}
	keys := g.Keys.Now()
	oldest, newest := g.versions()
	h := append([]byte{magic[0], magic[1], oldest, newest, byte(len(g.Cluster))}, g.Cluster...)
	if _, err := c.Write(append(h[:len(h):len(h)], mac(keys.k[0], "dialer", ekm, h)...)); err != nil {
		return Proven{}, fmt.Errorf("admit: sending the proof: %w", err)
	}
	a := make([]byte, answerFixed)
	if _, err := io.ReadFull(c, a); err != nil {
		return Proven{}, fmt.Errorf("admit: the peer did not answer the proof: %w", err)
	}
	status, version, n := a[0], a[1], int(a[2])
	if n > MaxCluster {
		return Proven{}, fmt.Errorf("admit: %w: name of %d bytes", ErrProof, n)
	}
	name := make([]byte, n)
	if _, err := io.ReadFull(c, name); err != nil {
		return Proven{}, fmt.Errorf("admit: the peer's answer ends early: %w", err)
	}
	switch status {
	case statusOK:
	case statusToken:
		return Proven{}, fmt.Errorf("admit: refused by the peer: %w", ErrToken)
	case statusVersion:
		theirs := fmt.Sprintf("up to %d", version)
		if n == 1 {
			theirs = fmt.Sprintf("%d to %d", name[0], version)
		}
		return Proven{}, fmt.Errorf("admit: refused by the peer: %w: ours are %d to %d, its %s", ErrVersion, oldest, newest, theirs)
	case statusCluster:
		return Proven{}, fmt.Errorf("admit: refused by the peer: %w: ours is %q, its is %q", ErrCluster, g.Cluster, name)
	case statusDenied:
		return Proven{}, fmt.Errorf("admit: refused by the peer: %w", ErrDenied)
	default:
		return Proven{}, fmt.Errorf("admit: %w: status %d", ErrProof, status)
	}
	var got [macBytes]byte
	if _, err := io.ReadFull(c, got[:]); err != nil {
		return Proven{}, fmt.Errorf("admit: the peer's proof ends early: %w", err)
	}
	for i, k := range keys.k {
		if hmac.Equal(got[:], mac(k, "listener", ekm, h, a, name)) {
			if version < oldest || version > newest {
				return Proven{}, fmt.Errorf("admit: %w: the peer chose %d", ErrVersion, version)
			}
			return Proven{version, keys.Fingerprints()[i]}, nil
		}
	}
	return Proven{}, fmt.Errorf("admit: the peer could not prove itself: %w", ErrToken)
}

func (g Gate) listen(c io.ReadWriter, ekm []byte) (Proven, error) {
	h := make([]byte, helloFixed, helloFixed+MaxCluster)
	if _, err := io.ReadFull(c, h); err != nil {
		return Proven{}, fmt.Errorf("admit: the peer gave no proof: %w", err)
	}
	n := int(h[4])
	if !bytes.Equal(h[:2], magic[:]) || n > MaxCluster {
		return Proven{}, fmt.Errorf("admit: %w", ErrProof)
	}
	rest := make([]byte, n+macBytes)
	if _, err := io.ReadFull(c, rest); err != nil {
		return Proven{}, fmt.Errorf("admit: the peer's proof ends early: %w", err)
	}
	h = append(h, rest[:n]...)
	oldest, newest := g.versions()
	theirMin, theirMax, name, proof := h[2], h[3], string(rest[:n]), rest[n:]

	keys, proven := g.Keys.Now(), -1
	for i, k := range keys.k {
		if hmac.Equal(proof, mac(k, "dialer", ekm, h)) {
			proven = i
		}
	}
	if proven < 0 {
		c.Write([]byte{statusToken, newest, 0})
		return Proven{}, fmt.Errorf("admit: refused a peer: %w", ErrToken)
	}
	version := min(theirMax, newest)
	if version < theirMin || version < oldest {
		c.Write([]byte{statusVersion, newest, 1, oldest})
		return Proven{}, fmt.Errorf("admit: refused a peer: %w: ours are %d to %d, its %d to %d", ErrVersion, oldest, newest, theirMin, theirMax)
	}
	if name != g.Cluster {
		c.Write(append([]byte{statusCluster, newest, byte(len(g.Cluster))}, g.Cluster...))
		return Proven{}, fmt.Errorf("admit: refused a peer: %w: ours is %q, its is %q", ErrCluster, g.Cluster, name)
	}
	if g.denies() {
		c.Write([]byte{statusDenied, newest, 0})
		return Proven{}, fmt.Errorf("admit: refused a peer: %w", ErrDenied)
	}
	a := []byte{statusOK, version, 0}
	if _, err := c.Write(append(a[:3:3], mac(keys.k[0], "listener", ekm, h, a)...)); err != nil {
		return Proven{}, fmt.Errorf("admit: answering the proof: %w", err)
	}
	return Proven{version, keys.Fingerprints()[proven]}, nil
}

// lingerFor and lingerBytes bound how long a refused peer is waited for.
const (
	lingerFor   = 500 * time.Millisecond
	lingerBytes = 1 << 10
)

// Linger gives a refusal time to reach the dialer before the connection is closed: libp2p sets SO_LINGER to
// 0, so that Close would throw the refusal away.
func Linger(c net.Conn) {
	c.SetDeadline(time.Now().Add(lingerFor))
	if w, ok := c.(interface{ CloseWrite() error }); ok {
		w.CloseWrite()
	}
	io.CopyN(io.Discard, c, lingerBytes)
}
