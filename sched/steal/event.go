package steal

// Peer names a node.
type Peer string

// Event is what the shell tells a Machine: one of the types below.
type Event interface{ event() }

// The events.
type (
	// Idle says that this node has Free milli-CPU and nothing queued that could use it; Free 0 that it has
	// work again. Rand is a random number.
	Idle struct {
		Free uint32
		Apps []string
		Rand uint64
	}
	// HasWork says how many queued tasks others may have.
	HasWork struct{ N int }
	// PeerUp says that a peer can be talked to. A later Epoch fences the ones before it.
	PeerUp struct {
		Peer  Peer
		Epoch uint64
	}
	// PeerDown fences an epoch for good.
	PeerDown struct {
		Peer  Peer
		Epoch uint64
		Rand  uint64
	}
	// Lifelines are the peers to ask before going quiet, one of each Kademlia bucket.
	Lifelines struct{ Peers []Peer }
	// Recv is a message from a peer.
	Recv struct {
		From Peer
		Msg  Msg
		Rand uint64
	}
	// Taken answers TakeTasks. The tasks are in the Machine's care then.
	Taken struct {
		Peer  Peer
		Seq   uint64
		Tasks []Task
	}
	// Tick comes every 50 ms or so.
	Tick struct{ Rand uint64 }
)

func (Idle) event()      {}
func (HasWork) event()   {}
func (PeerUp) event()    {}
func (PeerDown) event()  {}
func (Lifelines) event() {}
func (Recv) event()      {}
func (Taken) event()     {}
func (Tick) event()      {}

// Action is what the shell has to do: one of the types below, in their order.
type Action interface{ action() }

// The actions.
type (
	// Send is a message to a peer. It may get lost.
	Send struct {
		To  Peer
		Msg Msg
	}
	// TakeTasks wants queued tasks for a thief, answered by Taken with the same Peer and Seq, also when there
	// are none: at most Max, at most half of those that fit Free and Apps, and within a GRANT's bounds.
	TakeTasks struct {
		Peer Peer
		Seq  uint64
		Max  int
		Free uint32
		Apps []string
	}
	// Requeue puts tasks back that were taken and did not get to their thief.
	Requeue struct{ Tasks []Task }
	// RunTasks queues tasks that were stolen from a peer.
	RunTasks struct {
		From  Peer
		Tasks []Task
	}
	// Moved says that a peer has confirmed tasks: they are its own now, and their owners are to be told.
	Moved struct {
		Peer  Peer
		Epoch uint64
		Tasks []Task
	}
	// Denied says that a victim with Load queued tasks had none for this node.
	Denied struct {
		Peer Peer
		Load uint32
	}
)

func (Send) action()      {}
func (TakeTasks) action() {}
func (Requeue) action()   {}
func (RunTasks) action()  {}
func (Moved) action()     {}
func (Denied) action()    {}
