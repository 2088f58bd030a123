package main

import (
	"context"
	"errors"
	"log"

	"github.com/kadrehq/kadre/api"
)

func main() {
	if err := walk(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func walk(ctx context.Context) (err error) {
	rt, err := api.Init(ctx, api.Embedded(), api.Resources(map[string]float64{"licence": 1}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()
	ctx = rt.With(ctx)

	for _, step := range []func(context.Context) error{functions, many, streams, ends, places, objects, waiting, arrays, actors, actorsEnd} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}
