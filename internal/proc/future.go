package proc

import (
	"sync/atomic"
	"unsafe"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// Future is a task, an object that was put, a borrowed reference or an actor's handle. Package api embeds
// it at the start of its typed futures and hands out pointers to those.
type Future struct {
	sched.Task // first: the engine's pointers are ours

	// constant after submission
	p    *Process
	t    *Type
	fn   *Func                    // what runs; nil for objects
	in   *inbound                 // set when it runs for another process
	at   atomic.Pointer[instance] // the actor of this process whose method it is, set before it runs
	opts *Options

	// written before the task is done, read after it
	set bool // the typed value of package api holds the result
	put bool // val was put: the arena gets it when its reference leaves the process

	// written before the task is done, where what it filled became its result: so many bytes in the arena
	stored uint64

	val *Value // else: the encoded result in Go memory; nil: it lies in the arena

	freed atomic.Bool // put, and its user had it deleted here

	obj atomic.Pointer[object] // once it has an identity
}

// Value is an encoded value in Go memory with the futures that its references stand for.
type Value struct {
	Data []byte
	Keep []any
}

// Type is a Go type as values of it are carried.
type Type struct {
	Plan   *codec.Plan
	New    func() *Future                         // an empty typed future
	Set    func(f *Future, data []byte) error     // decodes into the typed value of an immediate type
	Encode func(f *Future) (codec.Encoded, error) // encodes that value
	ext    sched.Func
}

// Func is a registered function, class or method without its types.
type Func struct {
	Run    sched.Func // its Name is the registered name
	Where  string     // package and file:line of its registration
	Result *Type
	// Export gives the arguments for another process; keep is what they refer to.
	Export func(f *Future) (args []wire.Arg, keep []any, err error)
	// Import gives a call whose arguments are decoded when it runs, after deps are ready.
	Import func(p *Process, args []wire.Arg) (f *Future, deps []*Future, err error)
}

// inbound is what a task knows of the specification it came by.
type inbound struct {
	spec  wire.Spec
	taken func() // the owner has the result; nil: nobody wants to know
}

// futureOf finds the future that t starts.
func futureOf(t *sched.Task) *Future { return (*Future)(unsafe.Pointer(t)) }

// Init makes f a future of this process. It comes before everything else.
func (f *Future) Init(p *Process, t *Type, fn *Func) { f.p, f.t, f.fn = p, t, fn }

// Process is where f lives.
func (f *Future) Process() *Process { return f.p }

// SetDone ends the task; package api has stored the typed value.
func (f *Future) SetDone() bool {
	f.set = true
	return f.Finish()
}

// SetValue ends the task with an encoded value.
func (f *Future) SetValue(v *Value) bool {
	f.val = v
	return f.Finish()
}

// Freed says whether a user of this process had the object deleted.
func (f *Future) Freed() bool { return f.freed.Load() }

// IsSet says whether the typed value holds the result of a future that is done.
func (f *Future) IsSet() bool { return f.set }

// Held is the encoded value of a future that is done, where Go memory holds it.
func (f *Future) Held() *Value {
	if f.freed.Load() {
		return nil
	}
	return f.val
}

// ID names the object; the first call gives it its identity.
func (f *Future) ID() id.Object { return f.p.identify(f).id }

// encoded gives the bytes of a done future that lies in Go memory.
func (f *Future) encoded() (data []byte, keep []any, err error) {
	if f.val != nil {
		return f.val.Data, f.val.Keep, nil
	}
	e, err := f.t.Encode(f)
	if err != nil {
		return nil, nil, err
	}
	return e.Bytes(), e.Keep, nil
}
