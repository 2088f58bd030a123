package bench

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/trace"
)

// Which way a value gets better.
const (
	Lower  = "lower"
	Higher = "higher"
)

// MinSamples is the least number of samples of each side that a row rests on.
const MinSamples = 5

// Scenario is a line of the table.
type Scenario struct {
	Bench   string // the suite it belongs to
	Name    string // of the row
	Work    string // what one operation is, exactly, in words
	RefName string // what the reference does for the same end; "" where there is none
	Unit    string // of the values
	Better  string // Lower or Higher
	N       int    // operations in one sample
	Samples int    // taken of each side when the caller asks for no number
	Allocs  bool   // whether the row tells our allocations per operation
	Named   bool   // measured only when it is named: it needs root, or minutes
	Setup   func(ctx context.Context) (*Run, error)
}

// Side does n operations and gives one sample in the row's unit. It measures itself, so that what it
// prepares and checks does not count.
type Side func(ctx context.Context, n int) (float64, error)

// Run is a scenario that is set up.
type Run struct {
	Ours  Side
	Ref   Side           // nil where there is no reference
	Extra map[string]any // for the row's extra; read after the last sample
	Close func() error   // ends what Setup began; nil where there is nothing to end
}

// Find gives the scenarios that names stand for, in the table's order: a name is a suite, a row, or
// suite/row. No names are all scenarios but those that want to be named.
func Find(table []Scenario, names ...string) ([]Scenario, error) {
	if len(names) == 0 {
		return slices.DeleteFunc(slices.Clone(table), func(s Scenario) bool { return s.Named }), nil
	}
	picked := make([]bool, len(table))
	for _, name := range names {
		found := false
		for i, s := range table {
			if name == s.Bench || name == s.Name || name == s.Bench+"/"+s.Name {
				picked[i], found = true, true
			}
		}
		if !found {
			return nil, fmt.Errorf("bench: no suite or row is named %q; there are %s", name, strings.Join(known(table), ", "))
		}
	}
	var out []Scenario
	for i, s := range table {
		if picked[i] {
			out = append(out, s)
		}
	}
	return out, nil
}

func known(table []Scenario) (names []string) {
	for _, s := range table {
		if !slices.Contains(names, s.Bench) {
			names = append(names, s.Bench)
		}
		names = append(names, s.Bench+"/"+s.Name)
	}
	return names
}

// recordFor bounds one traced sample.
const recordFor = 10 * time.Minute

// Traced makes of each row of tasks in one process one that compares it with tracing on to itself with tracing off.
func Traced(rows []Scenario) (out []Scenario) {
	for _, s := range rows {
		if s.Bench != "local" {
			continue
		}
		setup := s.Setup
		s.Name += "-traced"
		s.Work = "with tracing on: " + s.Work
		s.RefName = "the same with tracing off"
		s.Setup = func(ctx context.Context) (*Run, error) {
			run, err := setup(ctx)
			if err != nil {
				return nil, err
			}
			off := run.Ours
			run.Ref = off
			run.Ours = func(ctx context.Context, n int) (float64, error) {
				trace.Record(recordFor)
				defer trace.Stop()
				return off(ctx, n)
			}
			return run, nil
		}
		out = append(out, s)
	}
	return out
}

// Units of time.
const (
	nanoseconds  = "ns"
	microseconds = "us"
	milliseconds = "ms"
)

var unitLen = map[string]time.Duration{nanoseconds: 1, microseconds: time.Microsecond, milliseconds: time.Millisecond}

// perOp is the time of one of n operations that took d together.
func perOp(d time.Duration, n int, unit string) float64 {
	return float64(d) / float64(n) / float64(unitLen[unit])
}
