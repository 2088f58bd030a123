// Command outside is a program of a user: a module of its own, that uses every name of the contract that
// works, and prints the two lines of the walkthrough.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/kadrehq/kadre/api"
)

type Counter struct{ value int }

func newCounter(ctx context.Context) (*Counter, error)            { return &Counter{}, nil }
func newCounterAt(ctx context.Context, n int) (*Counter, error)   { return &Counter{n}, nil }
func (c *Counter) Increment(ctx context.Context) (int, error)     { c.value++; return c.value, nil }
func (c *Counter) Add(ctx context.Context, n int) (int, error)    { c.value += n; return c.value, nil }
func (c *Counter) Set(ctx context.Context, n int) error           { c.value = n; return nil }
func (c *Counter) Info(ctx context.Context) (api.Info, error)     { return info(ctx) }
func square(ctx context.Context, x int) (int, error)              { return x * x, nil }
func add(ctx context.Context, x, y int) (int, error)              { return x + y, nil }
func one(ctx context.Context) (int, error)                        { return 1, nil }
func total(ctx context.Context, xs []int) (n int, err error)      { return len(xs), nil }
func fail(ctx context.Context) error                              { return os.ErrNotExist }
func wait(ctx context.Context) error                              { <-ctx.Done(); return ctx.Err() }
func mean(ctx context.Context, a api.Array[int32]) (int32, error) { return a.Data()[a.Len()/2], nil }
func through(ctx context.Context, ref api.Ref[int], on api.Actor[Counter]) (api.Ref[int], error) {
	n, err := ref.Get(ctx)
	return Add.Remote(ctx, on, n), err
}

func info(ctx context.Context) (api.Info, error) {
	i, ok := api.FromContext(ctx)
	if !ok {
		return i, errors.New("no task")
	}
	return i, nil
}

var (
	Square  = api.Func1(square)
	Sum     = api.Func2(add)
	One     = api.Func0(one)
	Count   = api.Func1(total)
	Fail    = api.Proc0(fail)
	Hold    = api.Proc0(wait)
	Mean    = api.Func1(mean)
	Through = api.Func2(through)
	Where   = api.Func0(info)
	Triple  = api.Func1(func(_ context.Context, x int) (int, error) { return 3 * x, nil }, api.RegisterAs("triple"))

	NewCounter   = api.Class0(newCounter)
	NewCounterAt = api.Class1(newCounterAt)
	Increment    = api.Method0((*Counter).Increment)
	Add          = api.Method1((*Counter).Add)
	Set          = api.MethodProc1((*Counter).Set)
	Info         = api.Method0((*Counter).Info)
)

func main() {
	if _, err := Square.Remote(context.Background(), 1).Get(context.Background()); !errors.Is(err, api.ErrNoRuntime) {
		log.Fatalf("before Init: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var opts []api.InitOption
	if os.Getenv("KADRE_SOCKET") == "" { // options of a node that runs already would be an error
		opts = append(opts, api.NumCPUs(2), api.Resources(map[string]float64{"licence": 1}))
	}
	rt, err := api.Init(ctx, opts...)
	if err != nil {
		log.Fatal(err)
	}
	for _, step := range []func(context.Context) error{counters, functions, objects, arrays, options, actors, failures} {
		if err := step(rt.With(ctx)); err != nil {
			log.Fatal(err)
		}
	}
	last := Square.Remote(rt.Context(), 2)
	if err := rt.Close(); err != nil {
		log.Fatal(err)
	}
	if _, err := Square.Remote(rt.Context(), 1).Get(ctx); !errors.Is(err, api.ErrClosed) {
		log.Fatalf("after Close: %v", err)
	}
	_ = last
}

// expect compares a result with what it should be.
func expect[T comparable](what string, want T) func(T, error) error {
	return func(got T, err error) error {
		if err == nil && got != want {
			err = fmt.Errorf("%v instead of %v", got, want)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	}
}

func counters(ctx context.Context) error {
	var as []api.Actor[Counter]
	var refs []api.Ref[int]
	for range 10 {
		as = append(as, NewCounter.Remote(ctx))
	}
	for _, a := range as {
		refs = append(refs, Increment.Remote(ctx, a))
	}
	ones, err := api.GetAll(ctx, refs)
	if err != nil {
		return err
	}
	fmt.Println(ones)
	refs = nil
	for range 5 {
		refs = append(refs, Increment.Remote(ctx, as[0]))
	}
	more, err := api.GetAll(ctx, refs)
	if err != nil {
		return err
	}
	fmt.Println(more)
	return nil
}

func functions(ctx context.Context) error {
	refs := []api.Ref[int]{Square.Remote(ctx, 1), Square.Remote(ctx, 2), Triple.Remote(ctx, 3), One.Remote(ctx)}
	seen := 0
	for i, ref := range api.Completed(ctx, refs) {
		if ref != refs[i] || ref.ID() != refs[i].ID() {
			return fmt.Errorf("completed %d is %v instead of %v", i, ref, refs[i])
		}
		seen++
	}
	ready, rest, err := api.Wait(ctx, refs, api.NumReturns(2), api.WithTimeout(time.Second))
	if err == nil && (len(ready) != 2 || len(rest) != 2 || seen != 4) {
		err = fmt.Errorf("wait: %d ready, %d not; %d completed", len(ready), len(rest), seen)
	}
	return errors.Join(err,
		expect("With", 12)(Sum.With(ctx, refs[2], api.Value(3)).Get(ctx)),
		expect("All", 4)(Count.With(ctx, api.All(refs)).Get(ctx)))
}

func objects(ctx context.Context) error {
	ref, err := api.Put(ctx, map[string][]int{"a": {1, 2}})
	if err != nil {
		return err
	}
	got, err := api.Get(ctx, ref)
	if err != nil || len(got["a"]) != 2 || ref.IsZero() {
		return fmt.Errorf("put gave %v, %w", got, err)
	}
	if err := api.Free(ctx, ref); err != nil {
		return err
	}
	var zero api.Ref[int]
	if _, err := zero.Get(ctx); !errors.Is(err, api.ErrZero) || !zero.IsZero() {
		return fmt.Errorf("zero ref: %w", err)
	}
	return nil
}

func arrays(ctx context.Context) error {
	a, err := api.NewArray[int32](ctx, 1<<16)
	if err != nil {
		return err
	}
	for i := range a.Data() {
		a.Data()[i] = int32(i)
	}
	ref, err := api.Put(ctx, a)
	if err != nil {
		return err
	}
	b, err := api.ArrayOf(ctx, []int32{1, 5, 9})
	if err != nil {
		return err
	}
	defer b.Release()
	return errors.Join(
		expect("array", int32(1<<15))(Mean.With(ctx, ref).Get(ctx)),
		expect("array in a process of its own", int32(1<<15))(Mean.Options(api.OwnProcess()).With(ctx, ref).Get(ctx)),
		expect("copied array", int32(5))(Mean.Remote(ctx, b).Get(ctx)))
}

func options(ctx context.Context) error {
	nodes, err := api.Nodes(ctx)
	if err != nil || len(nodes) == 0 {
		return fmt.Errorf("nodes: %v, %w", nodes, err)
	}
	on, err := Where.Options(api.OnNode(nodes[0].ID, false)).Remote(ctx).Get(ctx)
	if err != nil || on.Node != nodes[0].ID {
		return fmt.Errorf("on node: %+v, %w", on, err)
	}
	own, err := Where.Options(api.OwnProcess()).Remote(ctx).Get(ctx)
	if err != nil || own.PID == os.Getpid() {
		return fmt.Errorf("own process: %+v, %w", own, err)
	}
	few := Square.Options(api.NumCPUs(0.5), api.Resources(map[string]float64{"licence": 1}), api.MaxRetries(1))
	_, err = Square.Options(api.Resources(map[string]float64{"no such thing": 1})).Remote(ctx, 1).Get(ctx)
	var nowhere *api.UnschedulableError
	if !errors.As(err, &nowhere) {
		return fmt.Errorf("a resource that nobody has: %w", err)
	}
	return expect("options", 49)(few.Remote(ctx, 7).Get(ctx))
}

func actors(ctx context.Context) error {
	c := NewCounterAt.With(ctx, Square.Remote(ctx, 3))
	if err := c.Ready(ctx); err != nil {
		return err
	}
	passed, err := Through.With(ctx, api.Value(One.Remote(ctx)), api.Value(c)).Get(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(
		expect("a call made elsewhere", 10)(passed.Get(ctx)),
		expect("a call with a result", 14)(Add.With(ctx, c, Square.Remote(ctx, 2)).Get(ctx))); err != nil {
		return err
	}
	if _, err := Set.Remote(ctx, c, 7).Get(ctx); err != nil {
		return err
	}
	own := NewCounter.Options(api.OwnProcess()).Remote(ctx)
	at, err := Info.Remote(ctx, own).Get(ctx)
	if err != nil || at.PID == os.Getpid() || at.Actor != own.ID() || own.IsZero() {
		return fmt.Errorf("an actor in its own process: %+v, %w", at, err)
	}
	if err := own.Kill(ctx); err != nil {
		return err
	}
	_, err = Increment.Remote(ctx, own).Get(ctx)
	var died *api.ActorDiedError
	if !errors.As(err, &died) {
		return fmt.Errorf("a killed actor: %w", err)
	}
	return expect("after Set", 8)(Increment.Remote(ctx, c).Get(ctx))
}

func failures(ctx context.Context) error {
	_, err := Fail.Remote(ctx).Get(ctx)
	var task *api.TaskError
	if !errors.As(err, &task) || !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("a function's own error: %w", err)
	}
	short, cancel := context.WithCancel(ctx)
	ref := Hold.Remote(short)
	cancel()
	if _, err := ref.Get(ctx); !errors.Is(err, api.ErrCancelled) || !errors.Is(err, context.Canceled) {
		return fmt.Errorf("a cancelled task: %w", err)
	}
	for _, err := range []error{api.ErrBusy, api.ErrNotFound, &api.WorkerDiedError{}, &api.WorkerStartError{},
		&api.ObjectLostError{}, &api.OutOfMemoryError{}, &api.UnavailableError{}, &api.VersionSkewError{}} {
		if fmt.Sprintf("%T", err) == "" {
			return err
		}
	}
	var none api.None
	_, _ = none, api.NodeInfo{}
	return nil
}
