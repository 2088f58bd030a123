package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/kadrehq/kadre/api"
)

type Counter struct{ value int }

func newCounter(ctx context.Context) (*Counter, error)         { return &Counter{}, nil }
func (c *Counter) Increment(ctx context.Context) (int, error)  { c.value++; return c.value, nil }
func (c *Counter) Add(ctx context.Context, n int) (int, error) { c.value += n; return c.value, nil }
func (c *Counter) Reset(ctx context.Context) error             { c.value = 0; return nil }

var (
	NewCounter = api.Class0(newCounter) // a remote class
	Increment  = api.Method0((*Counter).Increment)
	AddTo      = api.Method1((*Counter).Add)
	Reset      = api.MethodProc0((*Counter).Reset)
)

func actors(ctx context.Context) error {
	var counters []api.Actor[Counter]
	for range 10 {
		counters = append(counters, NewCounter.Remote(ctx)) // api.Actor[Counter], at once
	}
	var refs []api.Ref[int]
	for _, c := range counters {
		refs = append(refs, Increment.Remote(ctx, c)) // on different actors, in parallel
	}
	ones, err := api.GetAll(ctx, refs)
	if err != nil {
		return err
	}
	fmt.Println(ones) // [1 1 1 1 1 1 1 1 1 1]

	refs = nil
	for range 5 {
		refs = append(refs, Increment.Remote(ctx, counters[0])) // on one actor, one after the other
	}
	more, err := api.GetAll(ctx, refs)
	if err != nil {
		return err
	}
	fmt.Println(more) // [2 3 4 5 6]
	return nil
}

func actorsEnd(ctx context.Context) error {
	c := NewCounter.Options(api.OwnProcess()).Remote(ctx)
	if err := c.Ready(ctx); err != nil { // nil once it is constructed
		return err
	}
	if _, err := Reset.Remote(ctx, c).Get(ctx); err != nil {
		return err
	}
	n, err := AddTo.With(ctx, c, Square.Remote(ctx, 3)).Get(ctx) // 9
	if err != nil {
		return err
	}
	fmt.Println(n)

	if err := c.Kill(ctx); err != nil {
		return err
	}
	_, err = Increment.Remote(ctx, c).Get(ctx)
	var died *api.ActorDiedError
	fmt.Println(errors.As(err, &died)) // true
	return nil
}
