package main

import (
	"context"
	"flag"
	"fmt"
	"iter"
	"log"
	"math/rand/v2"

	"github.com/kadrehq/kadre/api"
)

// Reading is what a sensor says.
type Reading struct {
	Sensor  int
	Celsius float64
}

// Summary is what is left of a batch.
type Summary struct {
	Kept, Dropped int
	Hottest       Reading
}

// readings yields batches of 1,000, as from a file or a socket. Where nobody reads for a while, yield waits.
func readings(ctx context.Context, batches int) iter.Seq2[[]Reading, error] {
	return func(yield func([]Reading, error) bool) {
		rng := rand.New(rand.NewPCG(1, 2))
		for range batches {
			batch := make([]Reading, 1000)
			for i := range batch {
				batch[i] = Reading{rng.IntN(50), 20 + 8*rng.NormFloat64()}
				if rng.IntN(100) == 0 {
					batch[i].Celsius = -273.15 // a broken cable
				}
			}
			if !yield(batch, nil) {
				return // the reader has enough
			}
		}
	}
}

func check(ctx context.Context, batch []Reading) (s Summary, err error) {
	for _, r := range batch {
		if r.Celsius < -100 {
			s.Dropped++
			continue
		}
		if s.Kept++; s.Kept == 1 || r.Celsius > s.Hottest.Celsius {
			s.Hottest = r
		}
	}
	return s, nil
}

func join(ctx context.Context, a, b Summary) (Summary, error) {
	if b.Hottest.Celsius > a.Hottest.Celsius {
		a.Hottest = b.Hottest
	}
	return Summary{a.Kept + b.Kept, a.Dropped + b.Dropped, a.Hottest}, nil
}

var (
	Readings = api.Stream1(readings, api.Buffer(8)) // at most 8 batches are unread
	Check    = api.Func1(check)
	Join     = api.Func2(join)
)

func main() {
	batches := flag.Int("batches", 200, "batches of 1,000 readings")
	flag.Parse()
	api.RunWorker()
	if err := run(context.Background(), *batches); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, batches int) error {
	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer rt.Close()

	var open []api.Ref[Summary]
	n := 0
	for batch, err := range Readings.Remote(ctx, batches).Refs(ctx) { // each as soon as it is yielded
		if err != nil {
			return err
		}
		open = append(open, Check.With(ctx, batch)) // the reference goes on, not the batch
		if n++; n%50 != 0 && n != batches {
			continue
		}
		total := api.Reduce(ctx, open, Join)
		s, err := total.Get(ctx)
		if err != nil {
			return err
		}
		fmt.Printf("%d batches: %d kept, %d dropped, the hottest %.1f °C at sensor %d\n", n, s.Kept, s.Dropped, s.Hottest.Celsius, s.Hottest.Sensor)
		open = []api.Ref[Summary]{total}
	}
	return nil
}
