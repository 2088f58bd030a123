package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/wire"
)

// Actor is a handle of an actor whose state is an S. It is one pointer and travels like a Ref: copy it,
// compare it, keep it in values, pass it on. Dropping the last handle ends nothing: an actor lives until Kill,
// ExitActor or the end of its job. The zero Actor names nothing and gives ErrZero.
type Actor[S any] struct{ f *future[proc.Location] }

// ID names the actor. It is the same in all processes.
func (a Actor[S]) ID() ActorID {
	if a.f == nil || a.f.head.Process() == nil {
		return ActorID{}
	}
	return ActorID(proc.ActorOf(&a.f.head))
}

// IsZero says whether a names nothing.
func (a Actor[S]) IsZero() bool { return a.f == nil }

// String prints ActorID(hex).
func (a Actor[S]) String() string { return a.ID().String() }

// MarshalJSON fails: an Actor means nothing outside the cluster.
func (a Actor[S]) MarshalJSON() ([]byte, error) {
	return nil, errors.New("kadre: an Actor cannot be written as JSON: pass the handle to a task")
}

// Ready waits until the actor is constructed and gives nil, or the constructor's error. ctx bounds only the
// waiting.
func (a Actor[S]) Ready(ctx context.Context) error {
	if a.f == nil {
		return ErrZero
	}
	return await(ctx, &a.f.head)
}

// Kill ends the actor for good. Calls that have not returned, and all later ones, give an *ActorDiedError.
func (a Actor[S]) Kill(ctx context.Context) error {
	f, err := a.living()
	if err != nil {
		return err
	}
	return f.Process().Kill(ctx, f)
}

// living gives the handle's future, or why there is none that could be called.
func (a Actor[S]) living() (*proc.Future, error) {
	switch {
	case a.f == nil:
		return nil, ErrZero
	case a.f.head.Process() == nil:
		return nil, a.f.head.Failure()
	}
	return &a.f.head, nil
}

// EncodeSpecial adds a to the references of a value, with where it lives if that is known. It is for the codec.
func (a *Actor[S]) EncodeSpecial(e *codec.Encoder) error {
	if a.f == nil {
		return encodeRef(e, nil)
	}
	if err := encodeRef(e, &a.f.head); err != nil {
		return err
	}
	proc.EncodeLocation(e, &a.f.head)
	return nil
}

// DecodeSpecial makes a the handle that a value holds. It is for the codec.
func (a *Actor[S]) DecodeSpecial(d *codec.Decoder) error {
	typ, err := typeOf[proc.Location]()
	if err != nil {
		return err
	}
	p, ref, err := readRef(d)
	if p == nil {
		return err
	}
	at, known, err := proc.DecodeLocation(d)
	if err != nil {
		return err
	}
	f := (*proc.Future)(nil)
	if known {
		f, err = p.HandleAt(ref, at, typ)
	} else {
		f = p.Borrow(ref, typ)
	}
	if err == nil {
		a.f = typed[proc.Location](f)
	}
	return err
}

// class is what the remote classes share: a remote function whose result says where the actor lives.
type class[S, A any] struct{ *remote[A, proc.Location] }

func newClass[S, A any](fn any, opts []ClassOption, run func(context.Context, *A) (*S, error), pos []position) class[S, A] {
	var c class[S, A]
	c.remote = newRemote(fn, applying(opts, ClassOption.applyClass), func(ctx context.Context, a *A) (l proc.Location, err error) {
		name, at, exists, err := proc.Begin(ctx)
		if exists || err != nil {
			return at, err
		}
		hosted := false
		defer func() {
			if !hosted { // nor where the constructor panics
				name.Abandon()
			}
		}()
		s, err := run(ctx, a)
		if err != nil {
			return l, err
		}
		if s == nil {
			return l, errors.New("the constructor returned neither an actor nor an error")
		}
		l, err = proc.Host(ctx, name, s)
		hosted = err == nil
		return l, err
	}, pos)
	c.opts.State = stateName[S]()
	return c
}

func (c class[S, A]) create(ctx context.Context, a A, rest []argument) Actor[S] {
	if c.opts.IfExists && c.opts.ActorName != "" {
		on, err := GetActor[S](ctx, c.opts.ActorName, Namespace(c.opts.Namespace))
		switch {
		case err == nil:
			return on
		case !errors.Is(err, ErrNotFound):
			return Actor[S]{c.refuse(err).f}
		}
	}
	k := newCall[A, proc.Location](c.fn, a, rest)
	p, err := c.start(ctx, k)
	if err != nil {
		return Actor[S]{failed[proc.Location](p, c.typ, err).f}
	}
	p.Create(ctx, &k.future.head, &c.opts, deps(&k.future.head))
	return Actor[S]{&k.future}
}

func (c class[S, A]) with(ctx context.Context, g given[A]) Actor[S] {
	if g.err != nil {
		return Actor[S]{c.refuse(g.err).f}
	}
	return c.create(ctx, g.values, g.rest)
}

func (c class[S, A]) changed(opts []ClassOption) class[S, A] {
	return class[S, A]{c.remote.changed(applying(opts, ClassOption.applyClass))}
}

// method is what the remote methods share: a remote function that runs where its actor lives.
type method[S, A, R any] struct{ *remote[A, R] }

func newMethod[S, A, R any](fn any, opts []MethodOption, run func(*S, context.Context, *A) (R, error), pos []position) method[S, A, R] {
	var m method[S, A, R]
	m.remote = newRemote(fn, applying(opts, MethodOption.applyMethod), func(ctx context.Context, a *A) (r R, err error) {
		on, returned := proc.On(ctx)
		s, ok := on.(*S)
		if !ok {
			return r, fmt.Errorf("kadre: a method of %T is called on an actor that is a %T", s, on)
		}
		r, err = run(s, ctx, a)
		returned(ctx)
		return r, err
	}, pos)
	return m
}

func (m method[S, A, R]) call(ctx context.Context, on Actor[S], a A, rest []argument) Ref[R] {
	h, err := on.living()
	if err != nil {
		return m.refuse(err)
	}
	c := newCall[A, R](m.fn, a, rest)
	p, err := m.start(ctx, c)
	if err != nil {
		return failed[R](p, m.typ, err)
	}
	p.Call(ctx, h, &c.future.head, &m.opts, deps(&c.future.head))
	return Ref[R]{&c.future}
}

func (m method[S, A, R]) with(ctx context.Context, on Actor[S], g given[A]) Ref[R] {
	if g.err != nil {
		return m.refuse(g.err)
	}
	return m.call(ctx, on, g.values, g.rest)
}

func (m method[S, A, R]) changed(opts []MethodOption) method[S, A, R] {
	return method[S, A, R]{m.remote.changed(applying(opts, MethodOption.applyMethod))}
}

// GetActor gives the handle of the living actor of a name, in the namespace default unless the option Namespace says
// another. Any driver and any task of the cluster may ask, of whatever job; the actor ends with the job that made it. The
// error is ErrNotFound where no living actor has the name, and *UnavailableError where that cannot be known just now,
// since this node reaches no majority of the nodes that keep the names.
func GetActor[S any](ctx context.Context, name string, opts ...GetActorOption) (Actor[S], error) {
	var o proc.Options
	for _, opt := range opts {
		opt.applyGetActor(&o)
	}
	if o.Later != nil {
		return Actor[S]{}, o.Later
	}
	if err := wire.CheckName(name); err != nil {
		return Actor[S]{}, fmt.Errorf("kadre: GetActor: the name: %w", err)
	}
	p, err := processOf(ctx)
	if err != nil {
		return Actor[S]{}, err
	}
	typ, err := typeOf[proc.Location]()
	if err != nil {
		return Actor[S]{}, err
	}
	f, err := p.FindActor(ctx, o.Namespace, name, stateName[S](), typ)
	return handleOf[S](f), err
}

// Self gives the actor whose method runs under ctx; false where ctx is not that of a method, or the actor is no S.
func Self[S any](ctx context.Context) (Actor[S], bool) {
	typ, err := typeOf[proc.Location]()
	if err != nil {
		return Actor[S]{}, false
	}
	f, state, err := proc.SelfActor(ctx, typ)
	if _, ok := state.(*S); !ok || err != nil {
		return Actor[S]{}, false
	}
	return handleOf[S](f), true
}

func handleOf[S any](f *proc.Future) Actor[S] {
	if f == nil {
		return Actor[S]{}
	}
	return Actor[S]{typed[proc.Location](f)}
}

// stateName tells the types of actors' states apart, in all processes alike.
func stateName[S any]() string {
	t := reflect.TypeFor[S]()
	if t.PkgPath() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

// ExitActor ends the actor whose method runs under ctx when that method returns: what it returns still reaches its
// caller, and by then the actor's name is free. Later calls give an *ActorDiedError.
func ExitActor(ctx context.Context) error { return proc.ExitActor(ctx) }

// Checkpoint will keep a snapshot of the actor whose method runs under ctx.
func Checkpoint(ctx context.Context) error { return later("Checkpoint") }
