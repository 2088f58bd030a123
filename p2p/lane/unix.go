package lane

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/kadrehq/kadre/internal/wire"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Over a unix socket nothing is encrypted: the kernel carries the bytes between two processes, and the socket lies
// in a folder that only its user can enter. Each side checks by SO_PEERCRED that the other belongs to the same
// user. Then both, the dialer first, say a nonce and their public key, sign what both have said under their role,
// and prove the token over the digest of it (admit.Gate.ProveOver), which the other's nonce makes new: a replay
// fails. What is not ruled out is a process of the same user in the middle; it could as well trace the node.
const (
	nonceBytes    = 32
	maxUnixHello  = nonceBytes + 512
	maxSignature  = 512
	unixBuffer    = 1 << 20 // of a socket; the kernel may give less
	maxUnixPath   = 107     // what sockaddr_un holds, less the final zero
	signedListens = "kadre lane over unix: listener"
	signedDials   = "kadre lane over unix: dialer"
)

// ListenUnix listens at path, where nobody else does: what is there was left by a process that was killed.
func ListenUnix(path string) (net.Listener, error) {
	if len(path) > maxUnixPath {
		return nil, fmt.Errorf("lane: the path %s has %d bytes, a socket's at most %d: use a shorter runtime folder", path, len(path), maxUnixPath)
	}
	if s, err := os.Lstat(path); err == nil && s.Mode().Type() == os.ModeSocket {
		os.Remove(path)
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("lane: listening: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("lane: listening: %w", err), ln.Close())
	}
	return ln, nil
}

func (e *Endpoint) admitUnix(raw *net.UnixConn, want peer.ID, dialer bool) (*Conn, error) {
	switch _, uid, err := wire.PeerOf(raw); {
	case err != nil:
		return nil, fmt.Errorf("lane: asking who is at the other end of a unix socket: %w", err)
	case uid != os.Geteuid():
		return nil, fmt.Errorf("lane: %w: the other end of the unix socket %s is user %d's, not %d's", syscall.EPERM, raw.LocalAddr(), uid, os.Geteuid())
	}
	raw.SetReadBuffer(unixBuffer) // what the kernel refuses costs speed only
	raw.SetWriteBuffer(unixBuffer)
	k := NewCork(raw)
	c := &Conn{Dialed: dialer, Via: ViaUnix, rw: k, raw: raw, cork: k}
	transcript, err := c.introduce(e.key)
	if err != nil {
		return nil, fmt.Errorf("lane: over a unix socket: %w", err)
	}
	if want != "" && c.Peer != want {
		return nil, fmt.Errorf("%w: %s is %s, not %s", ErrPeer, raw.RemoteAddr(), c.Peer, want)
	}
	if c.Proven, err = e.gate.For(c.Peer).ProveOver(c.rw, transcript, dialer); err != nil {
		return nil, c.turnedAway(err)
	}
	return c, nil
}

// introduce tells each side the other's name, and gives the digest of what both have said.
func (c *Conn) introduce(key crypto.PrivKey) (transcript [sha256.Size]byte, err error) {
	pub, err := crypto.MarshalPublicKey(key.GetPublic())
	if err != nil {
		return transcript, err
	}
	ours := make([]byte, nonceBytes, nonceBytes+len(pub))
	rand.Read(ours) // never fails
	ours = append(ours, pub...)
	theirs, err := c.swap(ours, maxUnixHello)
	if err != nil {
		return transcript, err
	}
	their, err := parseUnixHello(theirs)
	if err != nil {
		return transcript, err
	}
	h := sha256.New()
	first, second, sign, check := ours, theirs, signedDials, signedListens
	if !c.Dialed {
		first, second, sign, check = theirs, ours, signedListens, signedDials
	}
	for _, b := range [][]byte{first, second} {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(b))))
		h.Write(b)
	}
	h.Sum(transcript[:0])
	sig, err := key.Sign(append([]byte(sign), transcript[:]...))
	if err != nil {
		return transcript, err
	}
	if sig, err = c.swap(sig, maxSignature); err != nil {
		return transcript, err
	}
	if ok, err := their.Verify(append([]byte(check), transcript[:]...), sig); err != nil || !ok {
		return transcript, errors.Join(errors.New("the peer's signature is wrong"), err)
	}
	c.Peer, err = peer.IDFromPublicKey(their)
	return transcript, err
}

// parseUnixHello reads the public key behind the nonce.
func parseUnixHello(b []byte) (crypto.PubKey, error) {
	if len(b) <= nonceBytes {
		return nil, fmt.Errorf("%w: %d bytes", ErrHello, len(b))
	}
	k, err := crypto.UnmarshalPublicKey(b[nonceBytes:])
	if err != nil {
		return nil, fmt.Errorf("%w: public key: %w", ErrHello, err)
	}
	return k, nil
}

// swap says and hears a message each, the dialer first.
func (c *Conn) swap(ours []byte, limit uint32) (theirs []byte, err error) {
	if c.Dialed {
		if err = c.say(ours); err == nil {
			theirs, err = c.hear(limit)
		}
		return theirs, err
	}
	if theirs, err = c.hear(limit); err == nil {
		err = c.say(ours)
	}
	return theirs, err
}
