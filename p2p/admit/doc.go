// Package admit keeps strangers out: the cluster token and the proof that a peer has it.
//
// Nouns: a token is 256 random bits with a checksum, as text; [Keys] are what a node derives from its
// tokens, and a [Ring] those of a node whose tokens change; [Gate.Prove] is the mutual proof over a TLS 1.3 connection; [Security] is libp2p's TLS transport with
// that proof behind its handshake. Lanes call [Gate.Prove] themselves, so nothing listens without it.
//
// The proof is an HMAC over the connection's TLS exporter, dialer first: it is bound to that one connection
// and cannot be replayed or relayed. Where there is no TLS, on a unix socket between two processes of one user, a
// transcript that both sides have signed stands for the exporter. The listener answers with its own proof, or says why it refuses. The
// cluster's name and the range of protocol versions ride along under the HMAC.
//
// Everything here is safe for concurrent use; there are no locks. The package keeps no list of peers and
// encrypts nothing itself. Keys and tokens never print.
//
// Rejected: libp2p's pnet (a second encryption, half the throughput); a noise prologue (a mismatch looks
// like a broken connection); a connection gater (it cannot see the exporter).
package admit
