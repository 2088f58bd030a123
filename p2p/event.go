package p2p

import (
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Member is a copy of what this node knows of a node of the cluster.
type Member struct {
	ID    id.Node       `json:"id"`
	Epoch uint64        `json:"epoch"`
	Addrs []string      `json:"addrs"` // multiaddrs that end in /p2p/ID
	Meta  []byte        `json:"-"`     // its descriptor; shared, not to be changed
	Load  []byte        `json:"-"`     // what it last told of how busy it is; shared
	Self  bool          `json:"self,omitempty"`
	Found string        `json:"found"`           // "self", "join", "member", "runtime", "remembered", "mdns" or "record": how the two learned of each other first
	Token string        `json:"token,omitempty"` // the fingerprint of the token that it proved on the lane
	Via   string        `json:"via,omitempty"`   // the lane to it: "tcp", "unix", "libp2p", "relay"; "" when there is none
	State string        `json:"state"`           // "alive", "suspect", "left" or "dead"
	Said  string        `json:"said"`            // the same by the gossip: it differs where only one node's way to another is broken
	RTT   time.Duration `json:"rtt_ns,omitempty"`
}

// EventKind says what happened to a member.
type EventKind int

// The kinds of events.
const (
	Up      EventKind = iota + 1 // it is there; Down of an earlier epoch came before
	Changed                      // its descriptor, addresses, load or state (alive, suspect) changed
	Down                         // it left, died or restarted: this epoch's lane is gone for good
)

func (k EventKind) String() string {
	switch k {
	case Up:
		return "up"
	case Changed:
		return "changed"
	case Down:
		return "down"
	}
	return "?"
}

// Event tells of a change of the membership view. Ups and Downs of one node alternate. After a Down the same
// epoch may come Up again when only the network had failed: both sides then see a Down before that Up.
type Event struct {
	Kind   EventKind
	Member Member
	Why    string
}
