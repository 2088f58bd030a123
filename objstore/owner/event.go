package owner

import "github.com/kadrehq/kadre/internal/id"

// Event is one thing that happened: Made, Sealed, Failed, Copied, Dropped, Hold, Unhold, Borrow, Release,
// AddrDead, Retry or Want.
type Event interface{ event() }

// Made starts the record of an object: its task was submitted, or its value is about to be put. A second Made
// of a pending object adds what the first did not know.
type Made struct {
	ID         id.Object
	Remakeable bool        // its task may run again when the last copy is lost
	Args       []id.Object // arguments of its task; those this table does not own are ignored
	Attempt    uint32      // the one that may seal first
	Spec       int64       // bytes that are kept for making it again
}

// Sealed says that an attempt ended with a value: in Node's arena where Stored, else inside the message.
type Sealed struct {
	ID       id.Object
	Attempt  uint32
	Stored   bool
	Node     id.Node
	Size     uint64
	Hash     uint64
	Contains []id.Object // found inside the value; the shell took a hold on each
	Further  []Further   // objects of their own that the same attempt made
}

// Further is an object that a task made beside its result, and that the result refers to: directly, or by way of others.
// It becomes the owner's with the result, in which the table counts it as contained.
type Further struct {
	ID       id.Object
	Attempt  uint32
	Stored   bool
	Nodes    []id.Node // where its copies are
	Size     uint64
	Contains []id.Object // as of Sealed
	Within   []id.Object // further objects of the same result, before it in the list, that it refers to too
	Maker    id.Addr     // a process that refers to it as if it were its own; zero: none
	Again    bool        // another attempt of the task makes it again
}

// Failed says that an attempt ended with an error, for good.
type Failed struct {
	ID      id.Object
	Attempt uint32
}

// Copied says that a node has another copy.
type Copied struct {
	ID      id.Object
	Attempt uint32
	Node    id.Node
}

// Dropped says that a node's copy is gone.
type Dropped struct {
	ID   id.Object
	Node id.Node
}

// Hold says that this process refers to the object once more.
type Hold struct{ ID id.Object }

// Unhold takes one Hold back.
type Unhold struct{ ID id.Object }

// Borrow says that another process refers to the object; once more changes nothing.
type Borrow struct {
	ID   id.Object
	Addr id.Addr
}

// Release says that a process no longer refers to the object.
type Release struct {
	ID   id.Object
	Addr id.Addr
}

// AddrDead says that a process is gone, or with Proc 0 a whole node with its copies and its processes.
type AddrDead struct{ Addr id.Addr }

// Retry fences the current attempt of a pending object and asks for the next one, by Remake.
type Retry struct{ ID id.Object }

// Want says that somebody needs the outcome: the answer is Ready or Lost, at once or later.
type Want struct{ ID id.Object }

func (Made) event()     {}
func (Sealed) event()   {}
func (Failed) event()   {}
func (Copied) event()   {}
func (Dropped) event()  {}
func (Hold) event()     {}
func (Unhold) event()   {}
func (Borrow) event()   {}
func (Release) event()  {}
func (AddrDead) event() {}
func (Retry) event()    {}
func (Want) event()     {}
