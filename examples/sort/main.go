package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/kadrehq/kadre/api"
)

// Ranges is what a mapper returns: a reference to each range of its part.
type Ranges struct {
	Of []api.Ref[[]uint32]
}

// split makes n random numbers and cuts them into as many ranges as there are reducers.
func split(ctx context.Context, seed uint64, n, reducers int) (out Ranges, err error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	parts := make([][]uint32, reducers)
	for range n {
		x := rng.Uint32()
		r := int(uint64(x) * uint64(reducers) >> 32)
		parts[r] = append(parts[r], x)
	}
	for _, p := range parts {
		ref, err := api.Put(ctx, p)
		if err != nil {
			return out, err
		}
		out.Of = append(out.Of, ref)
	}
	return out, nil
}

// merge sorts range r of all parts. Getting a reference that is inside of a value fetches it only now.
func merge(ctx context.Context, parts []Ranges, r int) ([]uint32, error) {
	var all []uint32
	for _, p := range parts {
		numbers, err := p.Of[r].Get(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, numbers...)
	}
	slices.Sort(all)
	return all, nil
}

// Summary is what is left to check of a sorted range.
type Summary struct {
	N           int
	First, Last uint32
}

func summarize(ctx context.Context, sorted []uint32) (Summary, error) {
	if !slices.IsSorted(sorted) {
		return Summary{}, errors.New("not sorted")
	}
	if len(sorted) == 0 {
		return Summary{First: math.MaxUint32}, nil
	}
	return Summary{len(sorted), sorted[0], sorted[len(sorted)-1]}, nil
}

var (
	Split     = api.Func3(split)
	Merge     = api.Func2(merge)
	Summarize = api.Func1(summarize)
)

func main() {
	n := flag.Int("n", 2_000_000, "how many numbers")
	parts := flag.Int("parts", 8, "mappers, and reducers")
	flag.Parse()
	api.RunWorker()
	if *n < 0 || *parts < 1 {
		log.Fatal("-n must be 0 or more and -parts 1 or more")
	}
	if err := run(context.Background(), *n, *parts); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, n, parts int) error {
	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer rt.Close()

	var mapped []api.Ref[Ranges]
	for i := range parts {
		mapped = append(mapped, Split.Remote(ctx, uint64(i), n*(i+1)/parts-n*i/parts, parts))
	}
	var checks []api.Ref[Summary]
	for r := range parts {
		sorted := Merge.With(ctx, api.All(mapped), api.Value(r))
		checks = append(checks, Summarize.With(ctx, sorted)) // runs where the range lies, if it can
	}
	ranges, err := api.GetAll(ctx, checks)
	if err != nil {
		return err
	}
	total, last := 0, uint32(0)
	for _, s := range ranges {
		if s.N > 0 && s.First < last {
			return fmt.Errorf("a range begins with %d after one that ends with %d", s.First, last)
		}
		total, last = total+s.N, max(last, s.Last)
	}
	if total != n {
		return fmt.Errorf("%d numbers became %d", n, total)
	}
	fmt.Printf("%d numbers sorted in %d ranges\n", total, parts)
	return nil
}
