package proc

import (
	"context"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// Future is a task, an object that was put, a borrowed reference or an actor's handle: the engine's header and
// nothing else. What it belongs to and what its type is are found through its function and its engine. Package
// api embeds it at the start of its typed futures and hands out pointers to those.
type Future struct {
	sched.Task // first: the engine's pointers are ours
}

// Cold is what few futures need beside their header. Where it is known from the start that one does, both lie in
// one allocation: see Init and Func.Run.NewExt.
type Cold struct {
	sched.Ext // first: the engine's pointers are ours

	// constant after submission
	in   *inbound                 // set when it runs for another process
	at   atomic.Pointer[instance] // the actor of this process whose method it is, set before it runs
	opts *Options                 // nil: those of its function

	// written before the task is done, read after it
	stored uint64 // what the task filled became its result: so many bytes in the arena
	val    *Value // else: the encoded result in Go memory; nil: the typed value has it, or it lies in the arena

	force, recursive atomic.Bool // how it was cancelled
	name             *name       // of an object that a task of another process made; before it is done
	obj              atomic.Pointer[object]
	session          atomic.Pointer[session] // an actor's handle: with its actor
}

// Tags of a task that is done.
const (
	tagSet   = 1 << iota // the typed value of package api holds the result
	tagFreed             // its user had it deleted
)

// newCold is Func.Run.NewExt of futures of which package api knows nothing.
func newCold() *sched.Ext { return &new(Cold).Ext }

// newRaw makes an object of p that has no typed value.
func newRaw(p *Process) *Future {
	return newGate(p, rawType)
}

// newGate makes an object of p that somebody waits for and that gets no value; its type's name says in words what it is.
func newGate(p *Process, t *Type) *Future {
	x := new(struct {
		Future
		Cold
	})
	x.Future.Init(p, t, &x.Cold)
	return &x.Future
}

// What waits for streams is for.
var (
	itemGate   = gateType("the next item of a stream")
	readerGate = gateType("somebody to read its stream: its buffer is full")
)

func gateType(name string) *Type {
	t := &Type{}
	t.object().Run.Name = name
	return t
}

// look gives what hangs on f; nil where there is nothing.
func (f *Future) look() *Cold { return (*Cold)(unsafe.Pointer(f.HasExt())) }

// cold gives what hangs on f, and makes it.
func (f *Future) cold() *Cold { return (*Cold)(unsafe.Pointer(f.Ext())) }

// Value is an encoded value in Go memory with the futures that its references stand for.
type Value struct {
	Data []byte
	Keep []any
}

// Type is a Go type as values of it are carried.
type Type struct {
	Plan   *codec.Plan
	New    func(p *Process) *Future                 // an object of p that the caller ends
	Set    func(f *Future, data []byte) error       // decodes into the typed value of an immediate type
	Encode func(f *Future) (codec.Encoded, error)   // encodes that value
	Pack   func(f *Future, b []byte) ([]byte, bool) // appends that value without a head; false where it needs one
	Unpack func(f *Future, b []byte) error          // decodes it

	once sync.Once
	obj  Func // of futures that are objects and run nothing
}

// object is what stands for the function of an object of t.
func (t *Type) object() *Func {
	t.once.Do(func() { t.obj.Result, t.obj.Run.NewExt = t, newCold })
	return &t.obj
}

// Func is a registered function, class or method without its types.
type Func struct {
	Run    sched.Func // first: a task leads to it. Its Name is the registered name
	Where  string     // package and file:line of its registration
	Result *Type
	Opts   *Options // of its tasks that have none of their own
	// Export gives the arguments for another process; keep is what they refer to.
	Export func(f *Future) (args []wire.Arg, keep []any, err error)
	// Import gives a call whose arguments are decoded when it runs, after deps are ready.
	Import func(p *Process, args []wire.Arg) (f *Future, deps []*Future, err error)
	// Stow makes objects of large arguments, for Pack.
	Stow func(f *Future)
	// Pack appends the arguments for a linked process, when all that they refer to is ready; false where they do not
	// fit a short frame. It does not block.
	Pack func(f *Future, b []byte) ([]byte, bool)
	// Unpacker gives a function that makes calls of the arguments that Pack wrote at from, for one goroutine at a time.
	// It does not keep them.
	Unpacker func(p *Process, from id.Addr) func(b []byte) (*Future, error)
	// Forget lets go of the arguments of a call that ran elsewhere.
	Forget func(f *Future)
}

// inbound is what a task that another process submitted knows of how it came.
type inbound struct {
	full   atomic.Pointer[wire.Spec]
	taken  func()                 // the owner has the result; nil: nobody wants to know
	items  atomic.Uint32          // of a generator: how many it has sent
	making atomic.Pointer[making] // nil: it has made nothing beside its result

	short *arrival // it came by a short frame
}

// spec is the specification of a task that came from elsewhere; what came by a short frame gets one when somebody
// asks.
func (f *Future) spec() *wire.Spec {
	in := f.inbound()
	if s := in.full.Load(); s != nil {
		return s
	}
	in.full.CompareAndSwap(nil, in.short.specify(f))
	return in.full.Load()
}

// futureOf finds the future that t starts.
func futureOf(t *sched.Task) *Future { return (*Future)(unsafe.Pointer(t)) }

// kind is what f runs, or what stands for it where f is an object.
func (f *Future) kind() *Func { return (*Func)(unsafe.Pointer(f.Func())) }

// fn is what f runs; nil for objects.
func (f *Future) fn() *Func {
	if k := f.kind(); k != &k.Result.obj {
		return k
	}
	return nil
}

// Type is what the value of f is.
func (f *Future) Type() *Type { return f.kind().Result }

// Init makes f an object of this process, which may be nil for one that carries an error. c, which may be nil, lies
// beside f. The caller ends f.
func (f *Future) Init(p *Process, t *Type, c *Cold) {
	f.InitCall(t.object(), c)
	var root context.Context
	if p != nil {
		root = p.root
	}
	f.InitExternal(f.Func(), root)
}

// InitCall makes f a call of fn that is to be submitted. c, which may be nil, lies beside f.
func (f *Future) InitCall(fn *Func, c *Cold) {
	var x *sched.Ext
	if c != nil {
		x = &c.Ext
	}
	f.Extend(&fn.Run, x)
}

// SetOptions notes the wishes of a call where they are not those of its function.
func (f *Future) SetOptions(o *Options) {
	if o != f.kind().Opts {
		f.cold().opts = o
	}
}

// Process is where f lives; nil where it carries an error and belongs to none.
func (f *Future) Process() *Process {
	p, _ := f.Home().(*Process)
	return p
}

// SetDone ends the task; package api has stored the typed value.
func (f *Future) SetDone() bool { return f.FinishAs(tagSet) }

// SetValue ends the task with an encoded value.
func (f *Future) SetValue(v *Value) bool {
	f.cold().val = v
	return f.Finish()
}

// IsSet says whether the typed value holds the result of a future that is done.
func (f *Future) IsSet() bool { return f.Tag()&tagSet != 0 }

// Freed says whether a user of this process had the object deleted.
func (f *Future) Freed() bool { return f.Tag()&tagFreed != 0 }

// setFreed notes that the value of a future that is done is deleted.
func (f *Future) setFreed() {
	if f.Finished() {
		f.Mark(tagFreed)
	}
}

// Held is the encoded value of a future that is done, where Go memory holds it.
func (f *Future) Held() *Value {
	if f.Freed() {
		return nil
	}
	return f.value()
}

// value is Held, also of what was freed.
func (f *Future) value() *Value {
	if c := f.look(); c != nil {
		return c.val
	}
	return nil
}

// inbound is what f knows of the specification it came by; nil where it came by none.
func (f *Future) inbound() *inbound {
	if c := f.look(); c != nil {
		return c.in
	}
	return nil
}

// object is the entry of f; nil where it has no identity.
func (f *Future) object() *object {
	if c := f.look(); c != nil {
		return c.obj.Load()
	}
	return nil
}

// on is the actor of this process whose method f is.
func (f *Future) on() *instance {
	if c := f.look(); c != nil {
		return c.at.Load()
	}
	return nil
}

// options are the wishes f was submitted with; nil for objects.
func (f *Future) options() *Options {
	if c := f.look(); c != nil && c.opts != nil {
		return c.opts
	}
	return f.kind().Opts
}

// ID names the object; the first call gives it its identity.
func (f *Future) ID() id.Object { return f.Process().identify(f).id }

// encoded gives the bytes of a done future that lies in Go memory.
func (f *Future) encoded() (data []byte, keep []any, err error) {
	if v := f.value(); v != nil {
		return v.Data, v.Keep, nil
	}
	e, err := f.Type().Encode(f)
	if err != nil {
		return nil, nil, err
	}
	return e.Bytes(), e.Keep, nil
}
