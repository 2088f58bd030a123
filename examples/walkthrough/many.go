package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"time"

	"github.com/kadrehq/kadre/api"
)

// lines yields n lines; each is out as soon as it is yielded.
func lines(ctx context.Context, n int) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("line %d", i), nil) {
				return // nobody reads any more
			}
		}
	}
}

func nap(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

var (
	Lines = api.Stream1(lines)
	Nap   = api.Proc1(nap)
)

func many(ctx context.Context) error {
	refs := Square.Map(ctx, []int{1, 2, 3, 4})            // four tasks, one submission
	total, err := api.Reduce(ctx, refs, Add).Get(ctx)     // 30: neighbours are added as they become ready
	tenMore := Add.Bind(api.Value(10)).Map(ctx, []int{1}) // the first argument is fixed
	eleven, err2 := tenMore[0].Get(ctx)                   // 11
	if err := errors.Join(err, err2); err != nil {
		return err
	}
	fmt.Println(total, eleven)
	return nil
}

func streams(ctx context.Context) error {
	for line, err := range Lines.Remote(ctx, 1_000_000).Values(ctx) {
		if err != nil {
			return err
		}
		fmt.Println(line)
		if line == "line 2" {
			break // the generator's context ends, and it stops
		}
	}
	return nil
}

func ends(ctx context.Context) error {
	ref := Nap.Remote(ctx, time.Hour)
	if err := api.Cancel(ctx, ref); err != nil {
		return err
	}
	_, err := ref.Get(ctx)
	fmt.Println(errors.Is(err, api.ErrCancelled)) // true

	_, err = Nap.Options(api.Timeout(10*time.Millisecond)).Remote(ctx, time.Hour).Get(ctx)
	fmt.Println(errors.Is(err, context.DeadlineExceeded)) // true

	again := Remove.Options(api.MaxRetries(1), api.RetryErrors(func(err error) bool { return errors.Is(err, fs.ErrNotExist) }))
	_, err = again.Remote(ctx, "/no/such/file").Get(ctx) // tried twice
	fmt.Println(errors.Is(err, fs.ErrNotExist))          // true
	return nil
}
