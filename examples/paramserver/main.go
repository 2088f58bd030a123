package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"

	"github.com/kadrehq/kadre/api"
)

const (
	features = 1000
	shards   = 4
	examples = 500 // of each shard
)

// Server keeps the weights.
type Server struct {
	w []float64
}

func newServer(ctx context.Context, n int) (*Server, error) {
	return &Server{w: make([]float64, n)}, nil
}

// Weights gives the weights as they are now. Readers on this node share one copy.
func (s *Server) Weights(ctx context.Context) (api.Array[float64], error) {
	return api.ArrayOf(ctx, s.w)
}

// Apply takes one step against the mean of the gradients, and gives the mean loss.
func (s *Server) Apply(ctx context.Context, gs []Gradient, rate float64) (float64, error) {
	loss := 0.0
	for _, g := range gs {
		loss += g.Loss / float64(len(gs))
		for i, d := range g.Of.Data() {
			s.w[i] -= rate * d / float64(len(gs))
		}
	}
	return loss, nil
}

var (
	NewServer = api.Class1(newServer)
	Weights   = api.Method0((*Server).Weights)
	Apply     = api.Method2((*Server).Apply)
)

// Gradient is what one shard has to say.
type Gradient struct {
	Of   api.Array[float64]
	Loss float64
}

// shard makes the data of one shard: rows of features, and after each the wanted value.
func shard(ctx context.Context, seed uint64) (api.Array[float64], error) {
	rng := rand.New(rand.NewPCG(seed, 7))
	a, err := api.NewArray[float64](ctx, examples*(features+1))
	if err != nil {
		return a, err
	}
	for row := a.Data(); len(row) > 0; row = row[features+1:] {
		want := 0.0
		for i := range features {
			row[i] = rng.NormFloat64()
			want += row[i] * float64(i%3-1) // the weights to be found are -1, 0 and 1
		}
		row[features] = want
	}
	return a, nil // becomes the result as it is
}

// gradient computes one shard's gradient.
func gradient(ctx context.Context, data, weights api.Array[float64]) (g Gradient, err error) {
	if g.Of, err = api.NewArray[float64](ctx, features); err != nil {
		return g, err
	}
	sum, w := g.Of.Data(), weights.Data()
	for row := data.Data(); len(row) > 0; row = row[features+1:] {
		d := -row[features]
		for i, x := range row[:features] {
			d += x * w[i]
		}
		g.Loss += d * d / examples
		for i, x := range row[:features] {
			sum[i] += d * x / examples
		}
	}
	return g, nil
}

var (
	MakeShard       = api.Func1(shard)
	ComputeGradient = api.Func2(gradient)
)

func main() {
	rounds := flag.Int("rounds", 60, "how many steps")
	flag.Parse()
	api.RunWorker()
	if err := run(context.Background(), *rounds); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, rounds int) (err error) {
	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()

	server := NewServer.Remote(ctx, features)
	data := make([]api.Ref[api.Array[float64]], shards)
	for i := range data {
		data[i] = MakeShard.Remote(ctx, uint64(i))
	}
	for round := range rounds {
		weights := Weights.Remote(ctx, server)
		gradients := make([]api.Ref[Gradient], shards)
		for i := range data {
			gradients[i] = ComputeGradient.With(ctx, data[i], weights) // starts when both are there
		}
		loss, err := Apply.With(ctx, server, api.All(gradients), api.Value(0.3)).Get(ctx)
		if err != nil {
			return err
		}
		if round%10 == 0 || round == rounds-1 {
			fmt.Printf("round %2d  loss %10.4f\n", round, loss)
		}
	}
	return nil
}
