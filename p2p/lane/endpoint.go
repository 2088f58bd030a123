package lane

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kadrehq/kadre/p2p/admit"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	sectls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

const alpn = "kadre-lane/1"

// handshakeFor bounds all of an accepted connection's handshake: TLS, admission and hello.
const handshakeFor = 5 * time.Second

// connectFor bounds connecting: where the machine lives its kernel answers at once, however busy the node is.
const connectFor = 2 * time.Second

// ErrPeer says that another node than the expected one answered at an address.
var ErrPeer = errors.New("lane: another node answers at this address")

// Endpoint makes lanes under one node's identity. It is safe for concurrent use.
type Endpoint struct {
	id   *sectls.Identity
	key  crypto.PrivKey
	gate admit.Gate
}

// NewEndpoint makes the endpoint of a node's key.
func NewEndpoint(key crypto.PrivKey, g admit.Gate) (*Endpoint, error) {
	id, err := sectls.NewIdentity(key)
	if err != nil {
		return nil, fmt.Errorf("lane: making the TLS identity: %w", err)
	}
	return &Endpoint{id, key, g}, nil
}

// Conn is an admitted connection, still within its deadline, before the hello.
type Conn struct {
	Peer   peer.ID
	Dialed bool
	Via    string // ViaTCP, …
	admit.Proven

	rw   net.Conn // what is read and written: TLS, or the cork where nothing is encrypted here
	raw  net.Conn
	cork *Cork
}

// How a lane gets to its peer.
const (
	ViaTCP    = "tcp"
	ViaUnix   = "unix"
	ViaLibp2p = "libp2p" // a stream of a connection that libp2p had
	ViaRelay  = "relay"  // one that goes through another node
)

// Dial connects to addr ("ip:port", or a path for the network "unix"), where want must answer unless it is empty. ctx's deadline bounds the
// whole handshake, hello included.
func (e *Endpoint) Dial(ctx context.Context, network, addr string, want peer.ID) (*Conn, error) {
	d := net.Dialer{Timeout: connectFor}
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("lane: %w", err)
	}
	return e.begin(ctx, c, want)
}

// begin is meet for who has dialed.
func (e *Endpoint) begin(ctx context.Context, c net.Conn, want peer.ID) (*Conn, error) {
	by, ok := ctx.Deadline()
	if !ok {
		by = time.Now().Add(handshakeFor)
	}
	return e.meet(ctx, c, want, true, by)
}

// Accept admits a connection of a port's lane half or of a unix listener, or closes it.
func (e *Endpoint) Accept(ctx context.Context, c net.Conn) (*Conn, error) {
	return e.meet(ctx, c, "", false, time.Now().Add(handshakeFor))
}

// meet has both sides prove themselves.
func (e *Endpoint) meet(ctx context.Context, raw net.Conn, want peer.ID, dialer bool, by time.Time) (c *Conn, err error) {
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	raw.SetDeadline(by)
	switch raw := raw.(type) {
	case *net.UnixConn:
		return e.admitUnix(raw, want, dialer)
	case *Stream:
		return e.admitStream(raw, dialer)
	case *stranger:
		if c, err = e.admit(raw, want, dialer); err == nil {
			raw.Known()
		}
		return c, err
	}
	return e.admit(raw, want, dialer)
}

func (e *Endpoint) admit(raw net.Conn, want peer.ID, dialer bool) (*Conn, error) {
	conf, _ := e.id.ConfigForPeer("") // who answers is checked below, so that the error can name it
	conf.NextProtos = []string{alpn}
	conf.DynamicRecordSizingDisabled = true
	k := NewCork(raw)
	t := tls.Server(k, conf)
	if dialer {
		t = tls.Client(k, conf)
	}
	c := &Conn{Dialed: dialer, Via: ViaTCP, rw: t, raw: raw, cork: k}
	if err := t.Handshake(); err != nil {
		return nil, fmt.Errorf("lane: TLS with %s: %w", raw.RemoteAddr(), err)
	}
	st := t.ConnectionState()
	if st.NegotiatedProtocol != alpn {
		return nil, fmt.Errorf("lane: %s speaks TLS but is no kadre node (protocol %q)", raw.RemoteAddr(), st.NegotiatedProtocol)
	}
	key, err := sectls.PubKeyFromCertChain(st.PeerCertificates)
	if err != nil {
		return nil, fmt.Errorf("lane: certificate of %s: %w", raw.RemoteAddr(), err)
	}
	if c.Peer, err = peer.IDFromPublicKey(key); err != nil {
		return nil, fmt.Errorf("lane: key of %s: %w", raw.RemoteAddr(), err)
	}
	if want != "" && c.Peer != want {
		return nil, fmt.Errorf("%w: %s is %s, not %s", ErrPeer, raw.RemoteAddr(), c.Peer, want)
	}
	if c.Proven, err = e.gate.For(c.Peer).Prove(t, st, admit.UseLane, dialer); err != nil {
		return nil, c.turnedAway(err)
	}
	return c, nil
}

// turnedAway gives a refusal time to reach its dialer.
func (c *Conn) turnedAway(err error) error {
	if !c.Dialed {
		admit.Linger(c.rw)
	}
	return fmt.Errorf("lane: %s: %w", c.raw.RemoteAddr(), err)
}

// RemoteAddr is the peer's end.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Close cuts the connection at once; TLS's own Close would wait for a peer that has stopped reading.
func (c *Conn) Close() error { return c.raw.Close() }

// NetConn is the connection as its messages go over it.
func (c *Conn) NetConn() net.Conn { return c.rw }
