package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// Spoilt is what a task found, and what it made of it.
type Spoilt[T any] struct {
	Before, After string
	V             T
	At            Where
}

// Dot is a struct without pointers.
type Dot struct{ X, Y int }

// ownersOf are the kinds of values, each with what tries to write another's memory.
var ownersOf = []func(context.Context, OwnersJob) error{
	owners("struct", func(context.Context) (Dot, error) { return Dot{1, 2}, nil }, func(d *Dot) error { d.X = 99; return nil }, nil),
	owners("slice", func(context.Context) ([]int, error) { return []int{1, 2}, nil }, func(s *[]int) error { (*s)[0] = 99; return nil }, nil),
	owners("map", func(context.Context) (map[string]int, error) { return map[string]int{"a": 1}, nil },
		func(m *map[string]int) error { (*m)["a"] = 99; return nil }, nil),
	owners("pointer", func(context.Context) (*Dot, error) { return &Dot{1, 2}, nil }, func(p **Dot) error { (*p).X = 99; return nil },
		func(_ context.Context, p *Dot) (string, error) { return fmt.Sprint(*p), nil }),
	owners("array", func(ctx context.Context) (api.Array[int64], error) { return api.ArrayOf(ctx, []int64{1, 2}) }, nil,
		func(_ context.Context, a api.Array[int64]) (string, error) { return fmt.Sprint(a.Data()), nil }),
	owners("ref", func(ctx context.Context) (api.Ref[[]int], error) { return api.Put(ctx, []int{1, 2}) }, nil,
		func(ctx context.Context, r api.Ref[[]int]) (string, error) {
			first, err := r.Get(ctx)
			if err != nil {
				return "", err
			}
			first[0] = 99 // a copy
			second, err := r.Get(ctx)
			return fmt.Sprint(second), err
		}),
}

// owners tests one kind: values are made by fresh and told by show. Where write is nil nothing of one can be written: an
// Array's memory refuses, a Ref gives copies.
func owners[T any](kind string, fresh func(context.Context) (T, error), write func(*T) error, show func(context.Context, T) (string, error)) func(context.Context, OwnersJob) error {
	if show == nil {
		show = func(_ context.Context, v T) (string, error) { return fmt.Sprint(v), nil }
	}
	spoil := func(ctx context.Context, v T) (s Spoilt[T], err error) {
		if s.Before, err = show(ctx, v); err != nil {
			return s, err
		}
		if write != nil {
			err = write(&v)
		} else if a, ok := any(v).(api.Array[int64]); ok {
			err = writeArray(a)
		}
		if err != nil {
			return s, err
		}
		if s.After, err = show(ctx, v); err != nil {
			return s, err
		}
		s.V = v
		s.At, err = here(ctx)
		return s, err
	}
	one := api.Func1(spoil, api.RegisterAs("spoil "+kind))
	two := api.Func2(func(ctx context.Context, v T, _ int) (Spoilt[T], error) { return spoil(ctx, v) }, api.RegisterAs("spoil bound "+kind))
	return func(ctx context.Context, job OwnersJob) error {
		one, two := one, two
		if job.On != "" {
			one, two = one.Options(api.OnNode(job.On, false)), two.Options(api.OnNode(job.On, false))
		}
		o := owner[T]{kind: kind, job: job, show: show}
		v, err := fresh(ctx)
		if err != nil {
			return err
		}
		o.is = o.told(ctx, v)
		called := one.Remote(ctx, v)
		o.ran(ctx, "argument", called, v)
		if got, err := called.Get(ctx); err != nil {
			o.note("result", err)
		} else if write != nil {
			o.note("result", write(&got.V)) // of the first Get
		}
		o.ran(ctx, "result", called, v)
		put, err := api.Put(ctx, v)
		o.note("Put", err)
		if write != nil {
			mine, err := fresh(ctx)
			o.note("Put", errors.Join(err, write(&mine)))
			put2, err := api.Put(ctx, v)
			o.note("Put", err)
			w := v
			o.note("Put", write(&w)) // after Put: the object stays, v itself is written where it shares w's memory
			o.ran(ctx, "put value", one.With(ctx, put2), mine)
			if v, err = fresh(ctx); err != nil {
				return err
			}
		}
		o.ran(ctx, "object", one.With(ctx, put), v)
		if got, err := put.Get(ctx); err != nil || o.told(ctx, got) != o.is {
			o.note("object", fmt.Errorf("it is %s: %w", o.told(ctx, got), err))
		}
		bound := two.Bind(api.Value(v))
		for i, ref := range append([]api.Ref[Spoilt[T]]{bound.Remote(ctx, 1)}, bound.Map(ctx, []int{2, 3})...) {
			o.ran(ctx, fmt.Sprint("Bind ", i), ref, v)
		}
		for i, ref := range one.Map(ctx, []T{v, v, v}) {
			o.ran(ctx, fmt.Sprint("Map ", i), ref, v)
		}
		return o.err
	}
}

// writeArray writes an Array that came from elsewhere: its memory refuses.
func writeArray(a api.Array[int64]) (err error) {
	defer func() {
		if recover() == nil {
			err = errors.New("an Array was written")
		}
	}()
	a.Data()[0] = 99
	return nil
}

// owner is the test of one kind.
type owner[T any] struct {
	kind string
	job  OwnersJob
	show func(context.Context, T) (string, error)
	is   string // what each value is before somebody writes it
	err  error
}

func (o *owner[T]) note(how string, err error) {
	if err != nil {
		o.err = errors.Join(o.err, fmt.Errorf("%s, %s: %w", o.kind, how, err))
	}
}

func (o *owner[T]) told(ctx context.Context, v T) string {
	s, err := o.show(ctx, v)
	if err != nil {
		return err.Error()
	}
	return s
}

// ran checks what a task found and gave, where it ran, and that mine, which the caller has, is what the caller made it.
func (o *owner[T]) ran(ctx context.Context, how string, ref api.Ref[Spoilt[T]], mine T) {
	before := o.told(ctx, mine)
	got, err := ref.Get(ctx)
	if err != nil {
		o.note(how, err)
		return
	}
	if v := o.told(ctx, got.V); got.Before != o.is || v != got.After {
		o.note(how, fmt.Errorf("the task found %s, not %s, and gave %s for %s", got.Before, o.is, v, got.After))
	}
	if after := o.told(ctx, mine); after != before {
		o.note(how, fmt.Errorf("what was %s is %s for its owner", before, after))
	}
	if o.job.Outside && got.At.PID == os.Getpid() || o.job.On != "" && got.At.Node != string(o.job.On) {
		o.note(how, fmt.Errorf("it ran in process %d of %s", got.At.PID, got.At.Node))
	}
}

// OwnersJob is what the driver "owners" is told.
type OwnersJob struct {
	On      api.NodeID // tasks go there; "": anywhere
	Outside bool       // tasks run in another process
}

func init() {
	drivers["owners"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		var job OwnersJob
		if err := s.Hear(&job); err != nil {
			return err
		}
		var err error
		for _, test := range ownersOf {
			err = errors.Join(err, test(ctx, job))
		}
		if err != nil {
			return s.Say(err.Error())
		}
		return s.Say("")
	})
}

// TestNobodyWritesAnothersMemory has tasks write what they are given, of each kind and by each way, in the driver's process, in
// a worker, and on another node.
func TestNobodyWritesAnothersMemory(t *testing.T) {
	bed := testbed.New(t)
	a := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	b := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	testbed.AwaitMembers(a, b)
	for name, x := range map[string]struct {
		env []string
		job OwnersJob
	}{
		"in process":      {},
		"in a worker":     {[]string{"KADRE_ISOLATE=1"}, OwnersJob{Outside: true}},
		"on another node": {nil, OwnersJob{api.NodeID(b.ID), true}},
	} {
		d := a.Driver("owners", x.env...)
		d.Tell(x.job)
		var wrong string
		if d.Hear(&wrong); wrong != "" {
			t.Errorf("%s: %s", name, wrong)
		}
		d.Succeed(driverTime)
	}
}
