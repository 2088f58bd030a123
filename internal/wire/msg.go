package wire

import (
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
)

// Batch is a number of encoded specifications.
type Batch struct {
	_     struct{} `cbor:",toarray"`
	Specs [][]byte
}

// Take asks a process for tasks that it has not started.
type Take struct {
	_     struct{} `cbor:",toarray"`
	Max   int
	Bytes int
}

// Moved tells an owner where its tasks are now. Reports come by different ways and may overtake each other:
// Steps says which of two is the later one.
type Moved struct {
	_        struct{} `cbor:",toarray"`
	Tasks    []id.Task
	Attempts []uint32
	Steps    []uint32
	To       id.Addr
	Counts   []uint32 // how many tasks follow each other from each, itself included
}

// Add adds a task that has gone to m.To: to a node at first, then to one of its processes.
func (m *Moved) Add(s *Spec) {
	step := 2 * s.Hops
	if m.To.Proc != 0 {
		step++
	}
	m.Tasks, m.Attempts, m.Steps = append(m.Tasks, s.Task), append(m.Attempts, s.Attempt), append(m.Steps, step)
	m.Counts = append(m.Counts, uint32(s.Count()))
}

// Done lists placed tasks and actors that have ended.
type Done struct {
	_     struct{} `cbor:",toarray"`
	Tasks []id.Task
}

// Results are outcomes of tasks that share nothing but their owner.
type Results struct {
	_    struct{} `cbor:",toarray"`
	List []Result
}

// IDs names objects.
type IDs struct {
	_     struct{} `cbor:",toarray"`
	IDs   []id.Object
	Owner id.Addr // KPublish: whose they are; zero: the sender's
}

// ObjectState is what an owner knows of an object.
type ObjectState uint8

// The states of an object at its owner.
const (
	ObjectReady  ObjectState = iota + 1 // Inline, or at Holders
	ObjectFailed                        // Err
	ObjectLost                          // no copy is left and it cannot be made again; Err
	ObjectPending
)

// ObjectInfo says where an object is, or is the object where it is small.
type ObjectInfo struct {
	_       struct{} `cbor:",toarray"`
	ID      id.Object
	Owner   id.Addr
	State   ObjectState
	Stored  bool // in arenas; else Inline is the value
	Inline  []byte
	Size    uint64
	Hash    uint64
	Attempt uint32
	Holders []id.Node
	Err     *ErrorRecord
	Job     id.Job
}

// Copied tells an owner that a node has a copy, or has it no more.
type Copied struct {
	_       struct{} `cbor:",toarray"`
	ID      id.Object
	Attempt uint32
	Node    id.Node
}

// Room asks a node for room in its arena.
type Room struct {
	_    struct{} `cbor:",toarray"`
	Size int64    // of the object
	Any  bool     // there is no lack of bytes, but of entries or of memory: any object that goes helps
}

// Free asks nodes to delete their copies. A process leaves Nodes for its node to send it on.
type Free struct {
	_        struct{} `cbor:",toarray"`
	IDs      []id.Object
	Attempts []uint32 // of the copies to delete; may end early: any
	Nodes    []id.Node
}

// Refer asks who refers to objects whose owner may be gone.
type Refer struct {
	_     struct{} `cbor:",toarray"`
	IDs   []id.Object
	Round uint64 // of the node that asks: what nodes have in their stores they look up once in each
	Last  bool   // of the round
}

// Referred answers Refer for a process, or for a node and all its processes.
type Referred struct {
	_     struct{}      `cbor:",toarray"`
	Noted time.Duration // for so long, at least, they have noted which references they let go
	Used  []id.Object   // those that they refer to, or did lately; or that a value refers to which they have
	Owned []id.Object   // those that are theirs
}

// Placed says where a task or actor went.
type Placed struct {
	_  struct{} `cbor:",toarray"`
	To id.Addr
}

// Cancel ends attempts of tasks whose outcome nobody wants any more.
type Cancel struct {
	_         struct{} `cbor:",toarray"`
	Tasks     []id.Task
	Attempts  []uint32  // none: whoever refers to the tasks asks their owner to cancel them
	Force     bool      // end the process that is theirs alone, unless they return soon
	Recursive bool      // end what they have started, too
	Bounds    []Bound   // contexts that have ended, and all that they bound
	Lines     []id.Task // end all that has one of these in its line, and nothing else is set
}

// Item is one item of a stream, or an error in its place.
type Item struct {
	_       struct{} `cbor:",toarray"`
	Task    id.Task
	Attempt uint32
	Index   uint32 // from 0
	By      id.Addr
	Inline  []byte
	Stored  bool // in the arena of By's node, as the task's object Index+1
	Size    uint64
	Refs    []codec.Ref // what the value refers to
	Err     *ErrorRecord
}

// JobQuery names a job.
type JobQuery struct {
	_   struct{} `cbor:",toarray"`
	Job id.Job
}

// Job is what a node must know to start workers of a job.
type Job struct {
	_      struct{} `cbor:",toarray"`
	Job    id.Job
	Driver id.Addr
	Home   id.Node // the driver's node, where the executable is
	SHA256 [32]byte
	Size   int64
	Args   []string // without the program's name
	Env    []string // what WorkerEnv names, NAME=value
	OS     string
	Arch   string
}

// Dead lists addresses that are gone for good; Proc 0 is a whole node.
type Dead struct {
	_     struct{} `cbor:",toarray"`
	Addrs []id.Addr
	Why   string
}

// NodeInfo is one node as others see it.
type NodeInfo struct {
	_         struct{} `cbor:",toarray"`
	ID        id.Node
	Addrs     []string
	Resources map[string]float64
	Available map[string]float64
	Labels    map[string]string
	PID       int
}

// Nodes lists the living nodes.
type Nodes struct {
	_     struct{} `cbor:",toarray"`
	Nodes []NodeInfo
}

// LinkQuery names the process of this node to be linked with.
type LinkQuery struct {
	_    struct{} `cbor:",toarray"`
	Proc id.Proc
}

// Kill ends an actor.
type Kill struct {
	_     struct{} `cbor:",toarray"`
	Actor id.Actor
	Why   string
}

// LogLine is what a worker wrote.
type LogLine struct {
	_    struct{} `cbor:",toarray"`
	Job  id.Job
	Func string
	PID  int
	Node id.Node
	Line string
}

// Break ends a wait of a process with an error.
type Break struct {
	_     struct{} `cbor:",toarray"`
	Wait  uint64
	Chain []string // who waits for whom, one line each
}

// StatusQuery asks for one view of a node: "status", "events", "nodes", "workers", "memory" and so on; or of a process:
// "tasks", or "waits" for those that wait alone, or "events".
type StatusQuery struct {
	_    struct{} `cbor:",toarray"`
	What string
}

// Result is how a task ended: a value inside the message or in the executing node's arena, or an error.
type Result struct {
	_       struct{} `cbor:",toarray"`
	Task    id.Task
	Attempt uint32
	By      id.Addr // who ran it
	Stored  bool
	Inline  []byte
	Size    uint64
	Hash    uint64
	Refs    []codec.Ref // found inside the value; the executor holds them until this is replied to
	Err     *ErrorRecord
	Items   uint32    // of a generator: how many it has sent
	Further []Further // what it made beside that, and the value refers to; the reply names those that were not taken
}

// Further is an object that a task made beside its result, and that goes to the result's owner with it.
type Further struct {
	_       struct{} `cbor:",toarray"`
	ID      id.Object
	Attempt uint32
	Stored  bool // in the arenas of Nodes; else Inline is the value
	Inline  []byte
	Size    uint64
	Nodes   []id.Node
	Refs    []codec.Ref // found inside the value
	Again   bool        // another attempt makes it again
}

// ErrorClass tells the user's failures from the system's.
type ErrorClass uint8

// The classes of errors.
const (
	ErrorTask          ErrorClass = iota + 1 // the function returned an error or panicked
	ErrorCancelled                           // its context ended
	ErrorWorkerDied                          // the process that ran it ended
	ErrorWorkerStart                         // the process never came up
	ErrorActorDied                           // the actor is gone
	ErrorObjectLost                          // an argument or object is gone
	ErrorUnschedulable                       // no node can ever run it
	ErrorOutOfMemory                         // the store is full
	ErrorUnavailable                         // a part of the system did not answer
	ErrorVersion                             // versions differ
	ErrorClosed                              // the job or node has ended
	ErrorInternal                            // a mistake of ours
	ErrorNameTaken                           // another living actor has the name; Known: namespace, name, class
	ErrorNotFound                            // there is nothing of that name
)

// ErrorRecord is an error on its way.
type ErrorRecord struct {
	_      struct{} `cbor:",toarray"`
	Class  ErrorClass
	Text   string
	Func   string
	Stack  string
	Known  []string // names of sentinels for which errors.Is holds
	Typed  []TypedError
	MayRan bool // ErrorActorDied: the call may have run
	Node   id.Node
	PID    int
	Actor  id.Actor
	Object id.Object
	Sizes  [3]int64 // ErrorOutOfMemory: wanted, in use, capacity
}

// TypedError is an error of a registered type, encoded by codec.
type TypedError struct {
	_    struct{} `cbor:",toarray"`
	Name string
	Data []byte
}

// maxErrorText bounds the text and the stack that travel with an error.
const maxErrorText = 16 << 10

// Append adds the encoding of e to b; an overlong text is cut.
func (e ErrorRecord) Append(b []byte) []byte {
	if len(e.Text) > maxErrorText {
		e.Text = e.Text[:maxErrorText]
	}
	if len(e.Stack) > maxErrorText {
		e.Stack = e.Stack[:maxErrorText]
	}
	return append(b, Marshal(&e)...)
}

// Error makes an ErrorRecord an error for the layers that only pass it on.
func (e *ErrorRecord) Error() string { return e.Text }

var (
	encMode = must(cbor.EncOptions{}.EncMode())
	decMode = must(cbor.DecOptions{MaxArrayElements: MaxList, MaxMapPairs: MaxList, MaxNestedLevels: 8}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Marshal encodes a message of this package. Its types hold nothing that could fail.
func Marshal(m any) []byte { return must(encMode.Marshal(m)) }

// Unmarshal decodes a message into m, which points to one of this package's types.
func Unmarshal(b []byte, m any) error {
	if len(b) > MaxBody {
		return fmt.Errorf("wire: %T: %w", m, ErrLimit)
	}
	if err := decMode.Unmarshal(b, m); err != nil {
		return fmt.Errorf("wire: %T: %w", m, err)
	}
	return nil
}

// CallTimeout bounds requests that only need the other side to be alive.
const CallTimeout = 10 * time.Second
