package api

import "fmt"

// The arguments of a call as one value. A tuple itself is never encoded, only its fields are.
type (
	tuple0           struct{}
	tuple1[A any]    struct{ a A }
	tuple2[A, B any] struct {
		a A
		b B
	}
	tuple3[A, B, C any] struct {
		a A
		b B
		c C
	}
	tuple4[A, B, C, D any] struct {
		a A
		b B
		c C
		d D
	}
)

// given are the arguments of With, taken apart: a tuple of the values that are known, and the rest.
type given[T any] struct {
	values T
	rest   []argument
	err    error
}

func given1[A any](a Arg[A]) (g given[tuple1[A]]) {
	g.rest = make([]argument, 1)
	g.err = firstError(take(a, &g.values.a, &g.rest[0]))
	return g
}

func given2[A, B any](a Arg[A], b Arg[B]) (g given[tuple2[A, B]]) {
	g.rest = make([]argument, 2)
	g.err = firstError(take(a, &g.values.a, &g.rest[0]), take(b, &g.values.b, &g.rest[1]))
	return g
}

func given3[A, B, C any](a Arg[A], b Arg[B], c Arg[C]) (g given[tuple3[A, B, C]]) {
	g.rest = make([]argument, 3)
	g.err = firstError(take(a, &g.values.a, &g.rest[0]), take(b, &g.values.b, &g.rest[1]), take(c, &g.values.c, &g.rest[2]))
	return g
}

func given4[A, B, C, D any](a Arg[A], b Arg[B], c Arg[C], d Arg[D]) (g given[tuple4[A, B, C, D]]) {
	g.rest = make([]argument, 4)
	g.err = firstError(take(a, &g.values.a, &g.rest[0]), take(b, &g.values.b, &g.rest[1]),
		take(c, &g.values.c, &g.rest[2]), take(d, &g.values.d, &g.rest[3]))
	return g
}

// firstError names the first argument that went wrong.
func firstError(errs ...error) error {
	for i, err := range errs {
		if err != nil {
			return fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	return nil
}
