package admit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/sec"
	tptu "github.com/libp2p/go-libp2p/p2p/net/upgrader"
	sectls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// SecurityID names [Security] in libp2p's negotiation.
const SecurityID protocol.ID = "/kadre-tls/1"

// proveFor bounds the proof on a connection of libp2p's.
const proveFor = 5 * time.Second

// Security is libp2p's TLS transport with the proof of admission after its handshake.
type Security struct {
	*sectls.Transport
	gate    Gate
	refused func(peer.ID, net.Addr, error)
}

// NewSecurity gives the constructor for libp2p.Security(SecurityID, …). refused is told of peers that were
// not let in; it must not block.
func NewSecurity(g Gate, refused func(peer.ID, net.Addr, error)) func(protocol.ID, crypto.PrivKey, []tptu.StreamMuxer) (*Security, error) {
	return func(id protocol.ID, key crypto.PrivKey, mux []tptu.StreamMuxer) (*Security, error) {
		t, err := sectls.New(id, key, mux)
		if err != nil {
			return nil, fmt.Errorf("admit: %w", err)
		}
		return &Security{t, g, refused}, nil
	}
}

// SecureInbound is libp2p's handshake and then the proof, as listener.
func (t *Security) SecureInbound(ctx context.Context, n net.Conn, p peer.ID) (sec.SecureConn, error) {
	c, err := t.Transport.SecureInbound(ctx, n, p)
	if err != nil {
		return nil, err
	}
	return t.prove(ctx, c, false)
}

// SecureOutbound is libp2p's handshake and then the proof, as dialer.
func (t *Security) SecureOutbound(ctx context.Context, n net.Conn, p peer.ID) (sec.SecureConn, error) {
	c, err := t.Transport.SecureOutbound(ctx, n, p)
	if err != nil {
		return nil, err
	}
	return t.prove(ctx, c, true)
}

func (t *Security) prove(ctx context.Context, c sec.SecureConn, dialer bool) (sec.SecureConn, error) {
	cs, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		c.Close()
		return nil, errors.New("admit: libp2p's connection shows no TLS state")
	}
	by := time.Now().Add(proveFor)
	if d, ok := ctx.Deadline(); ok && d.Before(by) {
		by = d
	}
	c.SetDeadline(by)
	if _, err := t.gate.For(c.RemotePeer()).Prove(c, cs.ConnectionState(), UseLibp2p, dialer); err != nil {
		if !dialer {
			t.refused(c.RemotePeer(), c.RemoteAddr(), err)
			Linger(c)
		}
		c.Close()
		return nil, err
	}
	c.SetDeadline(time.Time{})
	return c, nil
}
