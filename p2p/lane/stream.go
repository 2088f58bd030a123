package lane

import (
	"context"
	"crypto/sha256"
	"net"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Stream is a stream of libp2p's as a connection for a lane, where none can be had directly. What libp2p brings is
// encrypted and admitted between its two ends already, whatever node relays it; the proof on it agrees on a version.
type Stream struct {
	network.Stream
	Self peer.ID
}

// streamAddr is an end of a stream.
type streamAddr string

func (streamAddr) Network() string  { return "libp2p" }
func (a streamAddr) String() string { return string(a) }

// LocalAddr is this end.
func (s *Stream) LocalAddr() net.Addr { return streamAddr(s.Conn().LocalMultiaddr().String()) }

// RemoteAddr is the other end.
func (s *Stream) RemoteAddr() net.Addr {
	return streamAddr(s.Conn().RemoteMultiaddr().String() + "/p2p/" + s.Conn().RemotePeer().String())
}

// Close cuts the stream both ways, as closing a socket does.
func (s *Stream) Close() error { return s.Reset() }

func (e *Endpoint) admitStream(raw *Stream, dialer bool) (*Conn, error) {
	k := NewCork(raw)
	via := ViaLibp2p
	if strings.Contains(raw.Conn().RemoteMultiaddr().String(), "p2p-circuit") {
		via = ViaRelay
	}
	c := &Conn{Peer: raw.Conn().RemotePeer(), Dialed: dialer, Via: via, rw: k, raw: raw, cork: k}
	ends := []string{raw.Self.String(), c.Peer.String()}
	slices.Sort(ends)
	var err error
	if c.Proven, err = e.gate.For(c.Peer).ProveOver(c.rw, sha256.Sum256([]byte(strings.Join(ends, " "))), dialer); err != nil {
		return nil, c.turnedAway(err)
	}
	return c, nil
}

// DialStream makes a connection for a lane of a stream that this side has opened. ctx bounds it as it bounds Dial.
func (e *Endpoint) DialStream(ctx context.Context, s *Stream) (*Conn, error) {
	return e.begin(ctx, s, "")
}
