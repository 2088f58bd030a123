package api

import "github.com/kadrehq/kadre/internal/proc"

// Arg is an argument of With: a Ref[T] whose value is wanted, a Value, or All of several refs.
type Arg[T any] interface{ arg() argOf[T] }

// argOf is an Arg taken apart.
type argOf[T any] struct {
	v     T
	f     *proc.Future
	isRef bool
	list  []*proc.Future
	many  bool
	err   error
}

type valueArg[T any] struct{ v T }

func (v valueArg[T]) arg() argOf[T] { return argOf[T]{v: v.v} }

// Value makes an argument of With from a plain value.
func Value[T any](v T) Arg[T] { return valueArg[T]{v} }

type allArg[T any] struct{ refs []Ref[T] }

func (a allArg[T]) arg() argOf[[]T] {
	fs, err := futures(a.refs)
	return argOf[[]T]{list: fs, many: true, err: err}
}

// All makes an argument of With from several refs: the function gets their values as a slice.
func All[T any](refs []Ref[T]) Arg[[]T] { return allArg[T]{refs} }

// take splits an argument into the value for the tuple and what is still to come.
func take[T any](x Arg[T], into *T, g *argument) error {
	if x == nil {
		return ErrZero
	}
	a := x.arg()
	switch {
	case a.err != nil:
		return a.err
	case a.isRef && a.f == nil:
		return ErrZero
	case a.isRef && a.f.Process() == nil:
		return a.f.Failure()
	}
	*into = a.v
	*g = argument{dep: a.f, list: a.list, many: a.many}
	return nil
}
