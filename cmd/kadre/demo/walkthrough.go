package demo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/api"
)

// The functions and the class of the walkthrough.
var (
	Square = api.Func1(square)
	Add    = api.Func2(add)
	Where  = api.Func0(where)

	NewCounter = api.Class0(newCounter)
	Increment  = api.Method0((*Counter).Increment)
)

func square(_ context.Context, x int) (int, error) { return x * x, nil }

func add(_ context.Context, x, y int) (int, error) { return x + y, nil }

// Place is where a task ran.
type Place struct {
	Node api.NodeID
	PID  int
}

func where(ctx context.Context) (Place, error) {
	info, _ := api.FromContext(ctx)
	return Place{info.Node, info.PID}, nil
}

// Counter is the actor of the walkthrough.
type Counter struct{ value int }

func newCounter(context.Context) (*Counter, error) { return &Counter{}, nil }

// Increment adds one and gives the sum.
func (c *Counter) Increment(context.Context) (int, error) {
	c.value++
	return c.value, nil
}

// walkthrough goes through the steps of docs/walkthrough.md and checks what each gives.
func walkthrough(ctx context.Context, c *cluster, s *screen, begin time.Time) error {
	s.title("The walkthrough")
	for _, step := range []struct {
		name, call, want string
		do               func() (any, error)
	}{
		{"a function, remotely", "square(7)", "49", func() (any, error) { return Square.Remote(ctx, 7).Get(ctx) }},
		{"four at once", "square(0) … square(3)", "[0 1 4 9]", func() (any, error) { return api.GetAll(ctx, squares(ctx, 4)) }},
		{"a ref as argument", "add(square(7), 3)", "52", func() (any, error) {
			return Add.With(ctx, Square.Remote(ctx, 7), api.Value(3)).Get(ctx)
		}},
		{"an object", "get(put([1 2 3]))", "[1 2 3]", func() (any, error) {
			ref, err := api.Put(ctx, []int{1, 2, 3})
			if err != nil {
				return nil, err
			}
			return api.Get(ctx, ref)
		}},
		{"the first of four", "wait(refs, 1)", "1 ready, 3 left", func() (any, error) {
			ready, rest, err := api.Wait(ctx, squares(ctx, 4), api.NumReturns(1))
			return fmt.Sprintf("%d ready, %d left", len(ready), len(rest)), err
		}},
		{"ten actors", "increment each once", "[1 1 1 1 1 1 1 1 1 1]", func() (any, error) {
			return api.GetAll(ctx, increments(ctx, counters(ctx, 10)))
		}},
		{"calls in their order", "increment one 1 + 5 times", "[2 3 4 5 6]", func() (any, error) {
			a := counters(ctx, 1)[0]
			if _, err := Increment.Remote(ctx, a).Get(ctx); err != nil {
				return nil, err
			}
			return api.GetAll(ctx, increments(ctx, slices.Repeat([]api.Actor[Counter]{a}, 5)))
		}},
	} {
		got, err := step.do()
		if err != nil {
			return fmt.Errorf("demo: %s: %w", step.name, err)
		}
		if fmt.Sprint(got) != step.want {
			return fmt.Errorf("demo: %s: %s gives %v, not %s", step.name, step.call, got, step.want)
		}
		if begin.IsZero() {
			s.step(step.name, step.call, step.want)
		} else {
			s.step(step.name, step.call, step.want+"    first result "+brief(time.Since(begin))+" after starting to attach")
			begin = time.Time{}
		}
	}
	return everywhere(ctx, c, s)
}

// everywhere runs a task on each node by name.
func everywhere(ctx context.Context, c *cluster, s *screen) error {
	var at []string
	for _, m := range c.nodes {
		p, err := Where.Options(api.OnNode(m.ID, false)).Remote(ctx).Get(ctx)
		if err != nil {
			return fmt.Errorf("demo: a task on node %s: %w", m.Name, err)
		}
		if p.Node != m.ID {
			return fmt.Errorf("demo: a task for node %s ran on %s", m.ID, p.Node)
		}
		at = append(at, fmt.Sprintf("%s: process %d", m.Name, p.PID))
	}
	s.step("on every node", "where()", strings.Join(at, ", "))
	return nil
}

func squares(ctx context.Context, n int) (refs []api.Ref[int]) {
	for i := range n {
		refs = append(refs, Square.Remote(ctx, i))
	}
	return refs
}

func counters(ctx context.Context, n int) (as []api.Actor[Counter]) {
	for range n {
		as = append(as, NewCounter.Remote(ctx))
	}
	return as
}

func increments(ctx context.Context, as []api.Actor[Counter]) (refs []api.Ref[int]) {
	for _, a := range as {
		refs = append(refs, Increment.Remote(ctx, a))
	}
	return refs
}
