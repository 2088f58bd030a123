package admit

import "sync/atomic"

// Source gives the keys to use now: [Keys] are always the same, a [Ring] has others from time to time.
type Source interface{ Now() Keys }

// Now gives the keys themselves.
func (ks Keys) Now() Keys { return ks }

// Ring is the keys of a node whose tokens change while it runs. It is safe for concurrent use.
type Ring struct{ keys atomic.Pointer[Keys] }

// NewRing begins with these keys.
func NewRing(ks Keys) *Ring {
	r := &Ring{}
	r.Set(ks)
	return r
}

// Now gives the keys that were set last.
func (r *Ring) Now() Keys { return *r.keys.Load() }

// Set replaces the keys. Connections that stand are not touched; see [Proven].
func (r *Ring) Set(ks Keys) { r.keys.Store(&ks) }

// Fingerprints name the keys, the one to prove first. They tell nothing of them, and are the same on all nodes.
func (ks Keys) Fingerprints() []string { return ks.Names("fingerprint") }

// Proven is what a peer has shown.
type Proven struct {
	Version byte   // of the protocol, the highest that both sides speak
	Key     string // the fingerprint of the key that it proved; when that key is dropped, it is to prove another
}
