package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"

	"github.com/kadrehq/kadre/api"
)

// Setting is what the search chooses.
type Setting struct {
	Degree int
	Rate   float64
}

// Trial is how well a setting did.
type Trial struct {
	Setting Setting
	Loss    float64 // mean square on points that it was not fitted to
}

// fit fits a polynomial of the setting's degree to points (x, y, x, y, …) by gradient descent.
func fit(ctx context.Context, points api.Array[float64], s Setting) (Trial, error) {
	p := points.Data()
	train, test := p[:len(p)*3/4], p[len(p)*3/4:]
	w := make([]float64, s.Degree+1)
	for range 400 {
		if err := ctx.Err(); err != nil {
			return Trial{}, err // the search is over: this trial is not wanted any more
		}
		grad := make([]float64, len(w))
		for i := 0; i < len(train); i += 2 {
			d := value(w, train[i]) - train[i+1]
			for k, x := 0, 1.0; k < len(w); k, x = k+1, x*train[i] {
				grad[k] += d * x
			}
		}
		for k := range w {
			w[k] -= s.Rate * grad[k] / float64(len(train)/2)
		}
	}
	loss := 0.0
	for i := 0; i < len(test); i += 2 {
		d := value(w, test[i]) - test[i+1]
		loss += d * d
	}
	return Trial{s, loss / float64(len(test)/2)}, nil
}

func value(w []float64, x float64) (y float64) {
	for k := len(w) - 1; k >= 0; k-- {
		y = y*x + w[k]
	}
	return y
}

var Fit = api.Func2(fit)

func main() {
	good := flag.Float64("good", 0.02, "a loss at which the search stops")
	flag.Parse()
	api.RunWorker()
	if err := run(context.Background(), *good); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, good float64) error {
	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer rt.Close()

	rng := rand.New(rand.NewPCG(1, 2))
	points, err := api.NewArray[float64](ctx, 4000) // in shared memory, filled in place
	if err != nil {
		return err
	}
	for p := points.Data(); len(p) > 0; p = p[2:] {
		p[0] = rng.Float64()*2 - 1
		p[1] = math.Sin(3*p[0]) + rng.NormFloat64()*0.1
	}
	data, err := api.Put(ctx, points)
	if err != nil {
		return err
	}

	trials, cancel := context.WithCancel(ctx)
	defer cancel()
	var refs []api.Ref[Trial]
	for degree := 1; degree <= 9; degree++ {
		for _, rate := range []float64{0.03, 0.1, 0.3, 0.6} {
			refs = append(refs, Fit.With(trials, data, api.Value(Setting{degree, rate})))
		}
	}
	best := Trial{Loss: math.Inf(1)}
	finished := 0
	for _, ref := range api.Completed(ctx, refs) {
		t, err := ref.Get(ctx)
		if errors.Is(err, context.Canceled) {
			continue
		} else if err != nil {
			return err
		}
		if finished++; t.Loss < best.Loss {
			best = t
			fmt.Printf("degree %d, rate %.2f: loss %.4f\n", t.Setting.Degree, t.Setting.Rate, t.Loss)
		}
		if best.Loss <= good {
			cancel() // those that run see it in their context, those that wait never start
		}
	}
	fmt.Printf("%d trials finished, %d were not needed\n", finished, len(refs)-finished)
	return nil
}
