package wire

import (
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
)

// SpecVersion is the version of the task specification.
const SpecVersion = 6

// Memory is the named resource that HeapMemory asks for, in bytes.
const Memory = "memory"

// SpecKind says what a specification asks for.
type SpecKind uint8

// The kinds of specifications.
const (
	KindTask   SpecKind = iota + 1
	KindCreate          // make an actor; the result is where it lives
	KindCall            // a call on an actor
)

// Spec is a task that leaves its process: what to run, for whom, on what, within which bounds.
type Spec struct {
	Kind    SpecKind
	Job     id.Job
	Task    id.Task // of a range its first
	Attempt uint32
	Hops    uint32 // how often it has changed its process; orders reports of where it is
	Epoch   uint64 // of the owner's node when it was sent
	Owner   id.Addr
	Func    string
	Args    []Arg
	Lo, Hi  uint32 // a range of so many tasks; both 0: one task

	CPU        uint32 // thousandths of a CPU
	Resources  map[string]float64
	Left       time.Duration // until the task's deadline; 0: none
	Bound      Bound         // the context that bounds it
	Line       []id.Task     // tasks that it comes from, the outermost first: at most MaxLine
	Retries    uint32
	Priority   int32
	OwnProcess bool
	OnNode     id.Node
	Soft       bool              // OnNode is a wish
	Labels     map[string]string // on nodes that have them all
	Timeout    time.Duration     // of an attempt; 0: none
	Stream     uint32            // a generator: so many items may be unread; 0: none
	Spread     bool              // away from the others that ask for it
	Trace      [16]byte
	Group      id.Group // the placement group that it is to run in; zero: none
	Bundle     uint32   // and which of its bundles

	Actor       id.Actor // KindCreate, KindCall
	Session     uint64   // KindCall: the caller's session with this actor
	Incarnation uint64
	Seq         uint64 // from 1 within a session
	Acked       uint64 // results up to here have arrived
	Namespace   string // KindCreate: where Name is unique
	Name        string // KindCreate: the actor's; empty: none
	IfExists    bool   // KindCreate: an actor that has the name already will do
}

// Bound names a context that bounds tasks, by the process that it is of. The zero Bound is one that never ends.
type Bound struct {
	_   struct{} `cbor:",toarray"`
	At  id.Addr
	Num uint64
}

// Arg is one argument: an encoded value, a reference whose value is wanted, or a list of references.
type Arg struct {
	Value  []byte      // encoded by codec; nil where Ref or List is set
	Ref    *codec.Ref  // the receiver gets the value it names
	List   []codec.Ref // the receiver gets a slice of the values they name
	IsList bool
}

const (
	argValue = iota + 1
	argRef
	argList
)

// MaxArgs bounds the arguments of a task.
const MaxArgs = 8

// MaxLine bounds the tasks of a line.
const MaxLine = 16

// MaxResources bounds the named resources of a task, and its labels.
const MaxResources = 64

// Placed says whether nodes choose where it runs, and thieves do not.
func (s *Spec) Placed() bool {
	return s.OwnProcess || s.OnNode != "" || s.Spread || !s.Group.IsZero() || len(s.Resources) > 0 || len(s.Labels) > 0
}

// Append adds the encoding of s to b.
func (s *Spec) Append(b []byte) []byte {
	a := appender{b}
	a.u8(SpecVersion)
	a.u8(uint8(s.Kind))
	a.raw(s.Job[:])
	a.raw(s.Task[:])
	a.uv(uint64(s.Attempt))
	a.uv(uint64(s.Hops))
	a.uv(s.Epoch)
	a.addr(s.Owner)
	a.str(s.Func)
	a.uv(uint64(s.Lo))
	a.uv(uint64(s.Hi))
	a.uv(uint64(s.CPU))
	a.uv(uint64(len(s.Resources)))
	for k, v := range s.Resources {
		a.str(k)
		a.f64(v)
	}
	a.uv(uint64(max(0, s.Left)))
	a.uv(s.Bound.Num)
	if s.Bound.Num != 0 {
		a.addr(s.Bound.At)
	}
	a.uv(uint64(len(s.Line)))
	for _, t := range s.Line {
		a.raw(t[:])
	}
	a.uv(uint64(s.Retries))
	a.u32(uint32(s.Priority))
	a.bool(s.OwnProcess)
	a.str(string(s.OnNode))
	a.bool(s.Soft)
	a.uv(uint64(len(s.Labels)))
	for k, v := range s.Labels {
		a.str(k)
		a.str(v)
	}
	a.bool(s.Spread)
	a.uv(uint64(max(0, s.Timeout)))
	a.uv(uint64(s.Stream))
	a.raw(s.Trace[:])
	a.bool(!s.Group.IsZero())
	if !s.Group.IsZero() {
		a.raw(s.Group[:])
		a.uv(uint64(s.Bundle))
	}
	if s.Kind != KindTask {
		a.raw(s.Actor[:])
		a.u64(s.Session)
		a.uv(s.Incarnation)
		a.uv(s.Seq)
		a.uv(s.Acked)
	}
	if s.Kind == KindCreate {
		a.str(s.Namespace)
		a.str(s.Name)
		a.bool(s.IfExists)
	}
	a.uv(uint64(len(s.Args)))
	for i := range s.Args {
		s.Args[i].append(&a)
	}
	return a.b
}

func (g *Arg) append(a *appender) {
	switch {
	case g.Ref != nil:
		a.u8(argRef)
		appendRef(a, g.Ref)
	case g.IsList:
		a.u8(argList)
		appendRefs(a, g.List)
	default:
		a.u8(argValue)
		a.bytes(g.Value)
	}
}

// ParseSpec takes a specification apart; values stay parts of b.
func ParseSpec(b []byte) (s Spec, err error) {
	r := reader{b: b}
	if v := r.u8(); r.err == nil && v != SpecVersion {
		r.fail(fmt.Errorf("%w %d of a task specification (ours is %d)", ErrVersion, v, SpecVersion))
	}
	s.Kind = SpecKind(r.u8())
	s.Job = r.job()
	s.Task = r.task()
	s.Attempt = uint32(r.uv())
	s.Hops = uint32(r.uv())
	s.Epoch = r.uv()
	s.Owner = r.addr()
	s.Func = r.str()
	s.Lo = uint32(r.uv())
	s.Hi = uint32(r.uv())
	s.CPU = uint32(r.uv())
	if n := r.count(MaxResources, 9); n > 0 {
		s.Resources = make(map[string]float64, n)
		for range n {
			k := r.str()
			s.Resources[k] = r.f64()
		}
	}
	s.Left = time.Duration(r.uv())
	if s.Bound.Num = r.uv(); s.Bound.Num != 0 {
		s.Bound.At = r.addr()
	}
	for range r.count(MaxLine, len(id.Task{})) {
		s.Line = append(s.Line, r.task())
	}
	s.Retries = uint32(r.uv())
	s.Priority = int32(r.u32())
	s.OwnProcess = r.bool()
	s.OnNode = id.Node(r.str())
	s.Soft = r.bool()
	if n := r.count(MaxResources, 2); n > 0 {
		s.Labels = make(map[string]string, n)
		for range n {
			k := r.str()
			s.Labels[k] = r.str()
		}
	}
	s.Spread = r.bool()
	s.Timeout = time.Duration(r.uv())
	s.Stream = uint32(r.uv())
	copy(s.Trace[:], r.take(len(s.Trace)))
	if r.bool() {
		copy(s.Group[:], r.take(len(s.Group)))
		s.Bundle = uint32(r.uv())
	}
	if s.Kind != KindTask {
		copy(s.Actor[:], r.take(len(s.Actor)))
		s.Session = r.u64()
		s.Incarnation = r.uv()
		s.Seq = r.uv()
		s.Acked = r.uv()
	}
	if s.Kind == KindCreate {
		s.Namespace, s.Name = r.str(), r.str()
		s.IfExists = r.bool()
	}
	most := MaxArgs
	if s.Lo != 0 || s.Hi != 0 {
		most *= MaxRange
	}
	for range r.count(most, 1) {
		s.Args = append(s.Args, r.arg())
	}
	if err := r.end("task specification"); err != nil {
		return Spec{}, err
	}
	if err := s.checkRange(); err != nil {
		return Spec{}, err
	}
	if s.Kind < KindTask || s.Kind > KindCall || s.Left < 0 || s.Timeout < 0 {
		return Spec{}, fmt.Errorf("wire: task specification: bad kind or deadline")
	}
	return s, nil
}

func (r *reader) arg() (g Arg) {
	switch r.u8() {
	case argRef:
		ref := r.ref()
		g.Ref = &ref
	case argList:
		g.List, g.IsList = r.refs(), true
	case argValue:
		g.Value = r.bytes(MaxBody)
	default:
		r.fail(fmt.Errorf("wire: unknown kind of argument"))
	}
	return g
}

func appendRef(a *appender, f *codec.Ref) {
	a.raw(f.ID[:])
	a.addr(f.Owner)
	a.uv(f.Size)
	a.u64(f.Hash)
	a.uv(uint64(f.Attempt))
	a.uv(uint64(len(f.Hints)))
	for _, h := range f.Hints {
		a.str(string(h))
	}
}

// maxHints bounds the holders that a reference names.
const maxHints = 3

func (r *reader) ref() (f codec.Ref) {
	f.ID = r.object()
	f.Owner = r.addr()
	f.Size = r.uv()
	f.Hash = r.u64()
	f.Attempt = uint32(r.uv())
	for range r.count(maxHints, 1) {
		f.Hints = append(f.Hints, id.Node(r.str()))
	}
	return f
}

func appendRefs(a *appender, l []codec.Ref) {
	a.uv(uint64(len(l)))
	for i := range l {
		appendRef(a, &l[i])
	}
}

// refSize is the least that an encoded reference takes.
const refSize = 20 + 9 + 1 + 8 + 1 + 1

func (r *reader) refs() []codec.Ref {
	n := r.count(MaxList, refSize)
	l := make([]codec.Ref, 0, n)
	for range n {
		l = append(l, r.ref())
	}
	return l
}
