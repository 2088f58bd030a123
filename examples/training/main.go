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

// Model is a line through points, as good as it was learned.
type Model struct{ Rate, A, B float64 }

// step moves the model by its gradient on points near y = 3x + 1.
func (m Model) step(rng *rand.Rand, points int) (Model, float64) {
	var a, b, loss float64
	for range points {
		x := rng.Float64()*2 - 1
		d := m.A*x + m.B - (3*x + 1 + rng.NormFloat64()*0.1)
		a, b, loss = a+d*x, b+d, loss+d*d
	}
	n := float64(points)
	return Model{m.Rate, m.A - m.Rate*a/n, m.B - m.Rate*b/n}, loss / n
}

func train(ctx context.Context, m Model) (Model, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		if err := ctx.Err(); err != nil {
			return m, err // it is not wanted any more
		}
		m, _ = m.step(rng, 2000)
	}
	return m, nil
}

func evaluate(_ context.Context, m Model) (float64, error) {
	_, loss := m.step(rand.New(rand.NewPCG(3, 4)), 10_000)
	return loss, nil
}

// Shard is one of several workers that train a model together, each on points of its own.
type Shard struct{ rng *rand.Rand }

func newShard(_ context.Context, seed uint64) (*Shard, error) {
	return &Shard{rand.New(rand.NewPCG(5, seed))}, nil
}

// Step gives the model as this worker would have it.
func (s *Shard) Step(_ context.Context, m Model) (Model, error) {
	m, _ = m.step(s.rng, 2000)
	return m, nil
}

var gpu = api.Resources(map[string]float64{"gpu": 1}) // held while the task runs

var (
	Train    = api.Func1(train, gpu)
	Evaluate = api.Func1(evaluate, gpu, api.Priority(10)) // before those that wait with less
	NewShard = api.Class1(newShard)
	Step     = api.Method1((*Shard).Step)
)

func main() {
	runs := flag.Int("runs", 8, "how many models are trained")
	cluster := flag.Bool("cluster", false, "use a running cluster and its GPUs")
	flag.Parse()
	api.RunWorker()
	var opts []api.InitOption
	if !*cluster {
		opts = []api.InitOption{api.Embedded(), api.Resources(map[string]float64{"gpu": 2}), api.NumCPUs(2)}
	}
	if err := run(context.Background(), *runs, opts); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, runs int, opts []api.InitOption) error {
	if runs < 1 {
		return errors.New("-runs 1 or more")
	}
	rt, err := api.Init(ctx, opts...)
	if err != nil {
		return err
	}
	defer rt.Close()

	var models []api.Ref[Model]
	for i := range runs {
		models = append(models, Train.Remote(ctx, Model{Rate: 0.3 / float64(i+1)}))
	}
	first, _, err := api.Wait(ctx, models) // somebody wants to know at once how good that one is
	if err != nil {
		return err
	}
	loss, err := Evaluate.With(ctx, first[0]).Get(ctx)
	if err != nil {
		return err
	}
	ready, _, err := api.Wait(ctx, models, api.NumReturns(runs), api.WithTimeout(0))
	if err != nil {
		return err
	}
	fmt.Printf("loss %.3f, known when %d of %d runs had ended\n", loss, len(ready), runs)
	all, err := api.GetAll(ctx, models)
	if err != nil {
		return err
	}
	best, err := together(ctx, all[0])
	if err != nil {
		return err
	}
	fmt.Printf("together: y = %.1fx + %.1f\n", best.A, best.B)
	return nil
}

// together trains on with two workers that have a GPU each. What is reserved is given back at the end.
func together(ctx context.Context, m Model) (Model, error) {
	pg, err := api.NewPlacementGroup(ctx, []api.Bundle{{"gpu": 1}, {"gpu": 1}}, api.StrategyPack)
	if err != nil {
		return m, err // no node has two
	}
	defer pg.Remove(ctx) // ends the workers too
	if err := pg.Ready(ctx); err != nil {
		return m, err
	}
	shards := []api.Actor[Shard]{
		NewShard.Options(api.InBundle(pg, 0), gpu).Remote(ctx, 0),
		NewShard.Options(api.InBundle(pg, 1), gpu).Remote(ctx, 1),
	}
	for range 50 {
		x, y := Step.Remote(ctx, shards[0], m), Step.Remote(ctx, shards[1], m) // at the same time
		two, err := api.GetAll(ctx, []api.Ref[Model]{x, y})
		if err != nil {
			return m, err
		}
		m.A, m.B = (two[0].A+two[1].A)/2, (two[0].B+two[1].B)/2
	}
	return m, nil
}
