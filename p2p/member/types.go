package member

import "github.com/kadrehq/kadre/internal/id"

// State is where a node stands in the view.
type State byte

// The states; see the drawing in the package comment.
const (
	Known State = iota + 1 // heard of, never met under this epoch
	Alive
	Suspect
	Left
	Dead
)

func (s State) String() string {
	switch s {
	case 0:
		return "unknown"
	case Known:
		return "known"
	case Alive:
		return "alive"
	case Suspect:
		return "suspect"
	case Left:
		return "left"
	case Dead:
		return "dead"
	}
	return "?"
}

// Found is how two nodes learned of each other first.
type Found byte

// The ways of being found.
const (
	FoundJoin    Found = 1
	FoundMember  Found = 2
	FoundRuntime Found = 3
	FoundBefore  Found = 4 // remembered across a restart
	FoundMDNS    Found = 5
	FoundRecord  Found = 6 // by its record in the directory
)

func (f Found) String() string {
	switch f {
	case FoundJoin:
		return "join"
	case FoundRuntime:
		return "runtime"
	case FoundBefore:
		return "remembered"
	case FoundMDNS:
		return "mdns"
	case FoundRecord:
		return "record"
	}
	return "member"
}

// Info is a copy of what the view says of a node.
type Info struct {
	ID    id.Node
	Epoch uint64
	Addrs []string
	Meta  []byte
	Load  []byte // the newest that it told; changes often
	Found Found
	State State // as this node sees it
	Said  State // as the gossip has it; 0: nothing. It differs where only this node's own way is broken
	RTT   int64 // nanoseconds; 0: not measured yet
}

// Event is something that happened to a node.
type Event interface{ event() }

// The events.
type (
	// Learn tells of a node that may be there.
	Learn struct {
		ID    id.Node
		Epoch uint64
		Addrs []string
		Found Found
	}
	// Offer is a lane whose hellos were exchanged. Accept or Refuse comes back for it.
	Offer struct {
		ID         id.Node
		Epoch      uint64
		Lane       uint64 // never 0
		Last, Bond uint64 // of the peer's hello
		Said       uint64 // the bond of our own hello
		Found      Found
		Desc       Desc // what the peer says of itself
	}
	// Lost tells that an accepted lane has ended.
	Lost struct {
		ID   id.Node
		Lane uint64
		Why  string
	}
	// Heard tells that bytes came from a node.
	Heard struct{ ID id.Node }
	// Dialed tells that an attempt that Dial asked for has ended; with success an Offer came before.
	Dialed struct {
		ID      id.Node
		OK      bool
		Refused bool // nothing listens there
		Barred  bool // it or we refused admission
		Why     string
	}
	// Recv brings a message of a lane's peer.
	Recv struct {
		ID   id.Node
		Lane uint64
		Msg  Message
	}
	// Describe changes what this node says of itself.
	Describe struct {
		Addrs []string
		Meta  []byte
	}
	// Loaded changes the load that this node tells.
	Loaded struct{ Load []byte }
	// Deny replaces the list of the nodes that are kept out.
	Deny struct{ IDs map[id.Node]bool }
	// Rekeyed tells that this node proves or accepts other tokens: who refused it, or was refused, is dialed again.
	Rekeyed struct{}
	// Renew asks for a lane in place of the one there is, whose peer is to prove itself anew. A peer that does not is
	// put out after a while.
	Renew struct{ ID id.Node }
	// Leave announces leaving: no lane is taken any more.
	Leave struct{}
	// Tick lets time pass; it comes every TickEvery.
	Tick struct{}
)

func (Learn) event()    {}
func (Offer) event()    {}
func (Lost) event()     {}
func (Heard) event()    {}
func (Dialed) event()   {}
func (Recv) event()     {}
func (Describe) event() {}
func (Loaded) event()   {}
func (Deny) event()     {}
func (Rekeyed) event()  {}
func (Renew) event()    {}
func (Leave) event()    {}
func (Tick) event()     {}

// Action is something to do.
type Action interface{ action() }

// The actions.
type (
	// Accept puts a lane to use: sends go there from now on. Fresh says that it begins a bond, of its own
	// name; else it goes on with the one there is.
	Accept struct {
		ID    id.Node
		Lane  uint64
		Fresh bool
	}
	// Refuse turns an offered lane down.
	Refuse struct {
		Lane uint64
		Why  string
	}
	// Cut ends an accepted lane; Lost need not be told.
	Cut struct {
		ID   id.Node
		Lane uint64
		Why  string
	}
	// Dial asks for a lane.
	Dial struct {
		ID    id.Node
		Addrs []string
		Found Found
	}
	// Send sends a message on the accepted lane of ID.
	Send struct {
		ID  id.Node
		Msg Message
	}
	// Tell tells the layers above.
	Tell struct {
		Kind Kind
		Info Info
		Why  string
	}
)

func (Accept) action() {}
func (Refuse) action() {}
func (Cut) action()    {}
func (Dial) action()   {}
func (Send) action()   {}
func (Tell) action()   {}

// Kind is what a Tell is about.
type Kind byte

// The kinds of a Tell. Ups and Downs of a node alternate.
const (
	Up Kind = iota + 1
	Changed
	Down
)
