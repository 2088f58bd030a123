package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/api"
)

func mean(ctx context.Context, a api.Array[float64]) (float64, error) {
	total := 0.0
	for _, v := range a.Data() {
		total += v
	}
	return total / float64(a.Len()), nil
}

var Mean = api.Func1(mean)

func objects(ctx context.Context) error {
	ref, err := api.Put(ctx, []string{"seen", "by", "all"})
	if err != nil {
		return err
	}
	words, err := api.Get(ctx, ref) // or ref.Get(ctx)
	if err != nil {
		return err
	}
	fmt.Println(words, ref.IsZero()) // [seen by all] false

	if err := api.Free(ctx, ref); err != nil {
		return err
	}
	var none api.Ref[int]
	_, err = none.Get(ctx)
	fmt.Println(errors.Is(err, api.ErrZero)) // true
	return nil
}

func waiting(ctx context.Context) error {
	refs := []api.Ref[int]{Square.Remote(ctx, 1), Square.Remote(ctx, 2), Square.Remote(ctx, 3)}

	ready, rest, err := api.Wait(ctx, refs, api.NumReturns(1), api.WithTimeout(10*time.Second))
	if err != nil {
		return err
	}
	fmt.Println(len(ready), len(rest)) // 1 2

	squares := make([]int, len(refs))
	for i, ref := range api.Completed(ctx, refs) { // as they finish, each once
		if squares[i], err = ref.Get(ctx); err != nil {
			return err
		}
	}
	fmt.Println(squares) // [1 4 9]
	return nil
}

func arrays(ctx context.Context) error {
	a, err := api.NewArray[float64](ctx, 1000) // in the node's shared memory
	if err != nil {
		return err
	}
	for i := range a.Data() {
		a.Data()[i] = float64(i)
	}
	ref, err := api.Put(ctx, a) // seals it, without a copy
	if err != nil {
		return err
	}
	m, err := Mean.With(ctx, ref).Get(ctx) // 499.5
	if err != nil {
		return err
	}
	fmt.Println(m)

	view, err := ref.Get(ctx) // the same memory, read only
	if err != nil {
		return err
	}
	defer view.Release()
	fmt.Println(view.Len(), view.Data()[999]) // 1000 999

	copied, err := api.ArrayOf(ctx, []float64{1, 2, 3})
	if err != nil {
		return err
	}
	m, err = Mean.Remote(ctx, copied).Get(ctx) // 2
	if err != nil {
		return err
	}
	fmt.Println(m)
	return nil
}
