package main

import (
	"context"
	"fmt"
	"log"

	"github.com/kadrehq/kadre/api"
)

func square(ctx context.Context, x int) (int, error) { return x * x, nil }

var Square = api.Func1(square)

func main() {
	ctx := context.Background()
	rt, err := api.Init(ctx) // attaches to a node of this machine, or starts one in here
	if err != nil {
		log.Fatal(err)
	}
	defer rt.Close()

	var refs []api.Ref[int]
	for i := range 10 {
		refs = append(refs, Square.Remote(ctx, i)) // at once; runs wherever there is a CPU
	}
	squares, err := api.GetAll(ctx, refs)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(squares)
}
