package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/kadrehq/kadre/api"
)

func square(ctx context.Context, x int) (int, error) { return x * x, nil }

func add(ctx context.Context, x, y int) (int, error) { return x + y, nil }

func sum(ctx context.Context, xs []int) (int, error) {
	total := 0
	for _, x := range xs {
		total += x
	}
	return total, nil
}

func whereAmI(ctx context.Context) (api.Info, error) {
	info, _ := api.FromContext(ctx)
	return info, nil
}

func remove(ctx context.Context, path string) error { return os.Remove(path) }

var (
	Square   = api.Func1(square) // *api.RemoteFunc1[int, int], registered under the symbol's name
	Add      = api.Func2(add)
	Sum      = api.Func1(sum)
	WhereAmI = api.Func0(whereAmI)
	Remove   = api.Proc1(remove) // for a function that gives only an error
	Double   = api.Func1(func(ctx context.Context, x int) (int, error) { return 2 * x, nil }, api.RegisterAs("double"))
)

// A function that calls itself remotely is assigned in init.
var Fibonacci *api.RemoteFunc1[int, int]

func init() { Fibonacci = api.Func1(fibonacci) }

func fibonacci(ctx context.Context, n int) (int, error) {
	if n < 2 {
		return n, nil
	}
	return Add.With(ctx, Fibonacci.Remote(ctx, n-1), Fibonacci.Remote(ctx, n-2)).Get(ctx)
}

func functions(ctx context.Context) error {
	ref := Square.Remote(ctx, 7) // api.Ref[int], at once
	v, err := ref.Get(ctx)       // 49
	if err != nil {
		return err
	}
	fmt.Println(v)

	// The result of one call as an argument of another: nothing waits here.
	total, err := Add.With(ctx, Square.Remote(ctx, 7), api.Value(3)).Get(ctx) // 52
	if err != nil {
		return err
	}
	fmt.Println(total)

	refs := []api.Ref[int]{Square.Remote(ctx, 1), Square.Remote(ctx, 2), Double.Remote(ctx, 3)}
	all, err := Sum.With(ctx, api.All(refs)).Get(ctx) // 11
	if err != nil {
		return err
	}
	fmt.Println(all)

	fib, err := Fibonacci.Remote(ctx, 10).Get(ctx) // 55
	if err != nil {
		return err
	}
	fmt.Println(fib)

	// Options give a changed copy of the function.
	big := Square.Options(api.NumCPUs(1), api.Resources(map[string]float64{"licence": 1}), api.MaxRetries(5))
	if _, err := big.Remote(ctx, 7).Get(ctx); err != nil {
		return err
	}

	_, err = Remove.Remote(ctx, "/no/such/file").Get(ctx)
	var failed *api.TaskError
	fmt.Println(errors.As(err, &failed), errors.Is(err, os.ErrNotExist)) // true true
	return nil
}

func places(ctx context.Context) error {
	nodes, err := api.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		info, err := WhereAmI.Options(api.OnNode(n.ID, false)).Remote(ctx).Get(ctx)
		if err != nil {
			return err
		}
		fmt.Println(info.Node == n.ID) // true
	}
	own, err := WhereAmI.Options(api.OwnProcess()).Remote(ctx).Get(ctx)
	if err != nil {
		return err
	}
	fmt.Println(own.PID != os.Getpid()) // true
	return nil
}
