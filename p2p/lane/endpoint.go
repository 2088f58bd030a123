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

// ErrPeer says that another node than the expected one answered at an address.
var ErrPeer = errors.New("lane: another node answers at this address")

// Endpoint makes lanes under one node's identity. It is safe for concurrent use.
type Endpoint struct {
	id   *sectls.Identity
	gate admit.Gate
}

// NewEndpoint makes the endpoint of a node's key.
func NewEndpoint(key crypto.PrivKey, g admit.Gate) (*Endpoint, error) {
	id, err := sectls.NewIdentity(key)
	if err != nil {
		return nil, fmt.Errorf("lane: making the TLS identity: %w", err)
	}
	return &Endpoint{id, g}, nil
}

// Conn is an admitted connection, still within its deadline, before the hello.
type Conn struct {
	Peer   peer.ID
	Dialed bool
	tls    *tls.Conn
	raw    net.Conn
	cork   *Cork
}

// Dial connects to addr ("ip:port"), where want must answer unless it is empty. ctx's deadline bounds the
// whole handshake, hello included.
func (e *Endpoint) Dial(ctx context.Context, network, addr string, want peer.ID) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, addr)
	if err != nil {
		return nil, fmt.Errorf("lane: %w", err)
	}
	by, ok := ctx.Deadline()
	if !ok {
		by = time.Now().Add(handshakeFor)
	}
	return e.admit(ctx, c, want, true, by)
}

// Accept admits a connection of a port's lane half, or closes it.
func (e *Endpoint) Accept(ctx context.Context, c net.Conn) (*Conn, error) {
	return e.admit(ctx, c, "", false, time.Now().Add(handshakeFor))
}

func (e *Endpoint) admit(ctx context.Context, raw net.Conn, want peer.ID, dialer bool, by time.Time) (_ *Conn, err error) {
	defer func() {
		if err != nil {
			raw.Close()
		}
	}()
	defer context.AfterFunc(ctx, func() { raw.Close() })()
	raw.SetDeadline(by)
	conf, _ := e.id.ConfigForPeer("") // who answers is checked below, so that the error can name it
	conf.NextProtos = []string{alpn}
	conf.DynamicRecordSizingDisabled = true
	k := NewCork(raw)
	c := &Conn{Dialed: dialer, raw: raw, cork: k}
	if dialer {
		c.tls = tls.Client(k, conf)
	} else {
		c.tls = tls.Server(k, conf)
	}
	if err := c.tls.Handshake(); err != nil {
		return nil, fmt.Errorf("lane: TLS with %s: %w", raw.RemoteAddr(), err)
	}
	st := c.tls.ConnectionState()
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
	if _, err := e.gate.For(c.Peer).Prove(c.tls, st, admit.UseLane, dialer); err != nil {
		if !dialer {
			admit.Linger(c.tls)
		}
		return nil, fmt.Errorf("lane: %s: %w", raw.RemoteAddr(), err)
	}
	return c, nil
}

// RemoteAddr is the peer's end.
func (c *Conn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

// Close cuts the connection at once; TLS's own Close would wait for a peer that has stopped reading.
func (c *Conn) Close() error { return c.raw.Close() }

// NetConn is the encrypted connection.
func (c *Conn) NetConn() net.Conn { return c.tls }
