package api

import (
	"context"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/wire"
)

// signature is a remote function without its types. What is here is compiled once, and not anew for each function
// that a program registers: it finds arguments by where they lie in the tuple of a call.
type signature struct {
	fn  *proc.Func
	pos []position

	tuple uintptr                             // where a call has its arguments
	call  func(given []argument) *proc.Future // makes a call whose tuple is empty yet
}

// position is one argument's place in the tuple.
type position struct {
	typ   *proc.Type
	plan  *codec.Plan
	rt    reflect.Type
	at    uintptr
	value uintptr // where a future of this type has its value
	err   error   // why values cannot cross
}

// place describes the argument of type T that lies at a place of the tuple.
func place[T any](at uintptr) position {
	typ, err := typeOf[T]()
	if err != nil {
		return position{err: err}
	}
	var f future[T]
	return position{typ: typ, plan: typ.Plan, rt: reflect.TypeFor[T](), at: at, value: unsafe.Offsetof(f.v)}
}

func positions1[A any]() []position { return []position{place[A](0)} }

func positions2[A, B any]() []position {
	var t tuple2[A, B]
	return []position{place[A](unsafe.Offsetof(t.a)), place[B](unsafe.Offsetof(t.b))}
}

func positions3[A, B, C any]() []position {
	var t tuple3[A, B, C]
	return []position{place[A](unsafe.Offsetof(t.a)), place[B](unsafe.Offsetof(t.b)), place[C](unsafe.Offsetof(t.c))}
}

func positions4[A, B, C, D any]() []position {
	var t tuple4[A, B, C, D]
	return []position{place[A](unsafe.Offsetof(t.a)), place[B](unsafe.Offsetof(t.b)),
		place[C](unsafe.Offsetof(t.c)), place[D](unsafe.Offsetof(t.d))}
}

// signatureOf describes a function whose calls are call[A, R].
func signatureOf[A, R any](fn *proc.Func, pos []position) *signature {
	var c call[A, R]
	var none A
	return &signature{fn, pos, unsafe.Offsetof(c.a), func(given []argument) *proc.Future {
		return &newCall[A, R](fn, none, given).future.head
	}}
}

// arguments is the tuple of a call.
func (s *signature) arguments(h *proc.Future) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(h), s.tuple)
}

// at is where argument i of a call is.
func (s *signature) at(h *proc.Future, i int) unsafe.Pointer {
	return unsafe.Add(s.arguments(h), s.pos[i].at)
}

// valueOf is where a future of the argument's type has its value.
func (pos *position) valueOf(f *proc.Future) unsafe.Pointer {
	return unsafe.Add(unsafe.Pointer(f), pos.value)
}

func addressOf[A any](a *A) unsafe.Pointer { return unsafe.Pointer(a) }

// beside gives what lies beside a call; nil where there is nothing.
func beside(h *proc.Future) *extra { return (*extra)(unsafe.Pointer(h.HasExt())) }

// argsOf are the arguments of a call that are not in its tuple yet.
func argsOf(h *proc.Future) []argument {
	if x := beside(h); x != nil {
		return x.args
	}
	return nil
}

// deps lists the futures that a call waits for.
func deps(h *proc.Future) (d []*proc.Future) {
	args := argsOf(h)
	for i := range args {
		if args[i].dep != nil {
			d = append(d, args[i].dep)
		}
		d = append(d, args[i].list...)
	}
	return d
}

func (g *argument) deferred() bool { return g.dep != nil || g.many }

// refusal says that a call was never submitted.
func (s *signature) refusal(err error) error { return fmt.Errorf("%s: %w", s.fn.Run.Name, err) }

// badArgument says which argument is the matter.
func (s *signature) badArgument(i int, err error) error {
	return fmt.Errorf("argument %d of %s: %w", i+1, s.fn.Run.Name, err)
}

// start makes a call ready for submission: everything that is not immediate is encoded now.
func (s *signature) start(ctx context.Context, o *proc.Options, h *proc.Future) (*proc.Process, error) {
	p, err := processOf(ctx)
	if err == nil {
		err = o.Later
	}
	if err != nil {
		return p, err
	}
	x, a := beside(h), s.arguments(h)
	for i := range s.pos {
		pos := &s.pos[i]
		if pos.plan.Immediate() || i < len(x.args) && x.args[i].deferred() {
			continue
		}
		e, err := pos.plan.Encode(&decoding{p: p, ctx: ctx}, unsafe.Add(a, pos.at))
		if err != nil {
			return p, s.badArgument(i, err)
		}
		if x.args == nil {
			x.args = make([]argument, len(s.pos))
		}
		x.args[i] = argument{data: e.Bytes(), keep: e.Keep}
		reflect.NewAt(pos.rt, unsafe.Add(a, pos.at)).Elem().SetZero()
	}
	return p, nil
}

// collect makes the arguments in a values that are the task's own.
func (s *signature) collect(ctx context.Context, p *proc.Process, a unsafe.Pointer, args []argument) error {
	for i := range args {
		if err := s.pos[i].collect(ctx, p, a, &args[i]); err != nil {
			return s.badArgument(i, err)
		}
	}
	return nil
}

func (pos *position) collect(ctx context.Context, p *proc.Process, a unsafe.Pointer, g *argument) error {
	into := unsafe.Add(a, pos.at)
	switch {
	case g.ready != nil:
		return pos.loadReady(ctx, p, into, g.ready)
	case g.dep != nil:
		if err := g.dep.Failure(); err != nil {
			return err
		}
		return pos.load(ctx, into, g.dep)
	case g.many:
		for _, d := range g.list {
			if err := d.Failure(); err != nil {
				return err
			}
		}
		return gather(ctx, reflect.NewAt(pos.rt, into).Elem(), g.list)
	case g.data != nil:
		return pos.plan.Decode(&decoding{p: p, ctx: ctx}, g.data, into)
	}
	return nil
}

// load makes the argument a copy of the value of f.
func (pos *position) load(ctx context.Context, into unsafe.Pointer, f *proc.Future) error {
	if !f.IsSet() || f.Type() != pos.typ || f.Freed() {
		return f.Process().Read(ctx, f, func(data []byte) error {
			return pos.plan.Decode(&decoding{p: f.Process(), ctx: ctx, f: f}, data, into)
		})
	}
	from := pos.valueOf(f)
	if pos.plan.Flat() {
		pos.plan.Copy(into, from)
	} else {
		reflect.NewAt(pos.rt, into).Elem().Set(reflect.NewAt(pos.rt, from).Elem())
	}
	return nil
}

// loadReady makes the argument a copy of the value of an object, or an Array a view of it.
func (pos *position) loadReady(ctx context.Context, p *proc.Process, into unsafe.Pointer, r *proc.Ready) error {
	if !r.Hold() {
		return pos.load(ctx, into, r.Future())
	}
	d := &decoding{p: p, ctx: ctx, ready: r}
	err := pos.plan.Decode(d, r.Data(), into)
	if d.ready != nil {
		r.Release()
	}
	return err
}

// gather fills a slice with the values of fs.
func gather(ctx context.Context, into reflect.Value, fs []*proc.Future) error {
	pl, err := codec.PlanFor(into.Type().Elem())
	if err != nil {
		return err
	}
	into.Set(reflect.MakeSlice(into.Type(), len(fs), len(fs)))
	for i, f := range fs {
		err := f.Process().Read(ctx, f, func(data []byte) error {
			return decodeInto(&decoding{p: f.Process(), ctx: ctx, f: f}, pl, data, into.Index(i).Addr())
		})
		if err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	return nil
}

// export gives the arguments of a call for another process.
func (s *signature) export(h *proc.Future) (args []wire.Arg, keep []any, err error) {
	p := h.Process()
	args = make([]wire.Arg, len(s.pos))
	given := argsOf(h)
	for i := range s.pos {
		var g argument
		if i < len(given) {
			g = given[i]
		}
		switch {
		case g.dep != nil:
			args[i], err = p.ExportArg(g.dep)
			keep = append(keep, g.dep)
		case g.many:
			args[i].IsList = true
			for _, d := range g.list {
				args[i].List = append(args[i].List, p.Escape(d))
				keep = append(keep, d)
			}
		default:
			data := g.data
			if data == nil {
				var e codec.Encoded
				e, err = s.pos[i].plan.Encode(nil, unsafe.Add(s.arguments(h), s.pos[i].at))
				data = e.Bytes()
			}
			args[i], g.keep, err = p.ExportValue(data, g.keep, err)
			keep = append(keep, g.keep...)
		}
		if err != nil {
			return nil, nil, s.badArgument(i, err)
		}
	}
	return args, keep, nil
}

// importCall makes a call of what another process has exported.
func (s *signature) importCall(p *proc.Process, args []wire.Arg) (*proc.Future, []*proc.Future, error) {
	if len(args) != len(s.pos) {
		return nil, nil, fmt.Errorf("kadre: %s takes %d arguments here and has %d in its specification: the executables differ", s.fn.Run.Name, len(s.pos), len(args))
	}
	given := make([]argument, len(args))
	for i := range args {
		g := &given[i]
		switch {
		case args[i].Ref != nil:
			g.dep = p.ImportArg(args[i].Ref)
		case args[i].IsList:
			g.many = true
			for j := range args[i].List {
				g.list = append(g.list, p.ImportArg(&args[i].List[j]))
			}
		default:
			g.data = append([]byte{}, args[i].Value...)
		}
	}
	h := s.call(given)
	return h, deps(h), nil
}

// packBare appends the value at v.
func (pos *position) packBare(b []byte, v unsafe.Pointer) ([]byte, bool) {
	at := len(b)
	b, ok := pos.plan.AppendBare(append(b, 0), v) // the start, if it is short
	if !ok {
		e, err := pos.plan.Encode(nil, v)
		if err != nil || e.Len() > wire.MaxShortArgs || len(e.Keep) > 0 {
			return b, false
		}
		b = wire.AppendArg(b[:at], wire.ArgHead, e.Len())
		return append(append(b, e.Head...), e.Body...), true
	}
	switch n := len(b) - at - 1; {
	case n < 32:
		b[at] = byte(n<<2 | wire.ArgBare)
	case n > wire.MaxShortArgs:
		return b, false
	default:
		value := append([]byte{}, b[at+1:]...)
		b = append(wire.AppendArg(b[:at], wire.ArgBare, n), value...)
	}
	return b, true
}

// plain says whether all arguments and the result are bare bytes.
func (s *signature) plain() bool {
	plain := s.fn.Result.Plan.Raw()
	for i := range s.pos {
		plain = plain && s.pos[i].plan.Raw()
	}
	return plain
}
