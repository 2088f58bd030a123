// Package lane carries bytes between two nodes: the listening port, the handshake, and the two kinds of lane.
//
// Nouns: a [Port] is one listening socket that peeks at each connection's first byte and gives libp2p its
// half; an [Endpoint] makes a lane out of a TCP connection (TLS 1.3 under the nodes' libp2p identities, then
// the proof of admission, then one [Hello] each way) of a unix one (no TLS; unix.go has what stands for it) or of a libp2p stream (stream.go); a [Control] lane carries small frames both ways, in
// order within their class, coalesced; a [Bond] is what two nodes share over one control lane after the other:
// it keeps the frames of the layers above until the peer has confirmed them; a [Bulk] lane carries one request and its answer at a time, the
// answer read straight into the place the asker names. A [Cork] below TLS gathers records, so that a large
// answer is written in few system calls.
//
// Bond.Send and Control.Send may be called by anyone and never wait for the network: they append to bounded
// buffers, and what is alone there they encrypt and write themselves, as far as the socket takes it at once; the
// rest is the lane's writer goroutine's, urgent frames first (flush.go has the steps). Its reader goroutine calls
// the handler, and writes the answers once it has handed over all that came in one read. A Bulk lane belongs to one goroutine at a time. Close of each waits for its goroutines.
//
// The package knows no membership: which lane is kept and whose epoch is stale is decided by the caller
// between [Endpoint.Hello] and the first frame. It does not reconnect.
//
// The first frame each way on a control lane tells how many of the bond's frames its sender has got, which is
// certain because the lane before has come to its end; the other side goes on behind them. So the frames carry
// no numbers and none comes twice. Later counts, every confirmEvery bytes or tick, let the kept frames go.
//
// Locks: the mutex of a Bond, which its lanes share, that of a Port and that of a Cork stand alone; no callback
// runs under them.
//
// Rejected: libp2p streams (0.56 GiB/s and 70 to 100 us against 0.88 and 22); libp2p.ShareTCPListener
// (ignores DisableReuseport, and 64 silent connections block it for 5 s); the counts in the hello (frames may
// still come on the old lane); waiting for the network on the sender's goroutine (a peer that stopped reading would block it); a
// writer goroutine for every frame (two switches of goroutines in a round trip: 1.7 times raw TLS's against 1.0).
package lane
