package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

func TestMain(m *testing.M) {
	RunChild()
	api.RunWorker()
	os.Setenv("KADRE_CHECK", "empty") // no node ends with something in its store
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		testbed.Clean()
		os.Exit(code)
	}))
}

// fake is a scenario whose sides note their turns and give the samples they are told.
func fake(turns *[]string, ours, ref []float64) Scenario {
	side := func(name string, vs []float64) Side {
		i := 0
		return func(_ context.Context, n int) (float64, error) {
			*turns = append(*turns, fmt.Sprint(name, n))
			v := vs[i%len(vs)]
			i++
			return v, nil
		}
	}
	return Scenario{Bench: "fake", Name: "row", Work: "nothing", Unit: microseconds, Better: Lower, N: 3, Samples: 5,
		Setup: func(context.Context) (*Run, error) {
			r := &Run{Ours: side("o", ours), Extra: map[string]any{"seen": 1}}
			if ref != nil {
				r.Ref = side("r", ref)
			}
			r.Close = func() error { *turns = append(*turns, "close"); return nil }
			return r, nil
		}}
}

func TestMeasureInterleavesAndTakesMedians(t *testing.T) {
	var turns []string
	s := fake(&turns, []float64{99, 1, 5, 2, 4, 3}, []float64{99, 10, 10, 2, 2, 6}) // 99 is the warm-up
	s.RefName = "the obvious"
	row, err := Measure(t.Context(), s, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Join(turns, " "), strings.Repeat("o3 r3 ", 6)+"close"; got != want {
		t.Errorf("turns were %s, want %s", got, want)
	}
	if row.Value != 3 || *row.Ref != 6 || *row.Ratio != 0.5 {
		t.Errorf("value %v, ref %v, ratio %v; want 3, 6, 0.5", row.Value, *row.Ref, *row.Ratio)
	}
	if want := []float64{1, 5, 2, 4, 3}; !slices.Equal(row.Samples, want) {
		t.Errorf("samples %v, want %v", row.Samples, want)
	}
}

func TestRowsKeepTheContract(t *testing.T) {
	var turns []string
	for _, c := range []struct {
		ref    []float64
		allocs bool
		want   string
	}{
		{[]float64{1}, true, "allocs bench better commit extra foreign_cpu ratio ref ref_name ref_samples row samples unit value"},
		{nil, false, "bench better commit extra foreign_cpu row samples unit value"},
	} {
		s := fake(&turns, []float64{2}, c.ref)
		s.Allocs = c.allocs
		if c.ref != nil {
			s.RefName = "the obvious"
		}
		row, err := Measure(t.Context(), s, 1)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		if err := row.WriteJSON(&out); err != nil {
			t.Fatal(err)
		}
		if strings.Count(out.String(), "\n") != 1 {
			t.Errorf("not one line: %q", out.String())
		}
		var m map[string]any
		if err := json.Unmarshal([]byte(out.String()), &m); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(slices.Sorted(maps.Keys(m)), " "); got != c.want {
			t.Errorf("keys %s\nwant %s", got, c.want)
		}
		if n := len(m["samples"].([]any)); n != MinSamples {
			t.Errorf("%d samples where 1 was asked for, want %d", n, MinSamples)
		}
		if extra := m["extra"].(map[string]any); extra["seen"] != 1.0 || extra["go"] == nil {
			t.Errorf("extra is %v", extra)
		}
	}
}

func TestMeasureFails(t *testing.T) {
	broken := errors.New("broken")
	var turns []string
	for name, breakIt := range map[string]func(*Scenario){
		"set-up": func(s *Scenario) {
			s.Setup = func(context.Context) (*Run, error) { return nil, broken }
		},
		"ours": func(s *Scenario) {
			s.Setup = func(context.Context) (*Run, error) {
				return &Run{Ours: func(context.Context, int) (float64, error) { return 0, broken }}, nil
			}
		},
		"end": func(s *Scenario) {
			s.Setup = func(context.Context) (*Run, error) {
				return &Run{Ours: func(context.Context, int) (float64, error) { return 1, nil }, Close: func() error { return broken }}, nil
			}
		},
	} {
		s := fake(&turns, nil, nil)
		breakIt(&s)
		_, err := Measure(t.Context(), s, 0)
		if !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "bench: fake/row: "+name) {
			t.Errorf("%s: error is %v", name, err)
		}
	}
	if _, err := Measure(t.Context(), fake(&turns, []float64{0}, nil), 0); err == nil {
		t.Error("a sample of 0 is no error")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := Measure(ended, fake(&turns, []float64{1}, nil), 0); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context's end: %v", err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{{[]float64{7}, 7}, {[]float64{3, 1, 2}, 2}, {[]float64{4, 1, 2, 3}, 2.5}} {
		if got := Median(c.in); got != c.want {
			t.Errorf("median of %v is %v, want %v", c.in, got, c.want)
		}
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

func TestFind(t *testing.T) {
	table := []Scenario{{Bench: "a", Name: "x"}, {Bench: "a", Name: "y"}, {Bench: "b", Name: "x"}}
	for names, want := range map[string]string{"": "a/x a/y b/x", "a": "a/x a/y", "x": "a/x b/x", "b/x a/y": "a/y b/x", "x a/x": "a/x b/x"} {
		got, err := Find(table, strings.Fields(names)...)
		if err != nil {
			t.Fatal(err)
		}
		var is []string
		for _, s := range got {
			is = append(is, s.Bench+"/"+s.Name)
		}
		if strings.Join(is, " ") != want {
			t.Errorf("%q finds %v, want %s", names, is, want)
		}
	}
	if _, err := Find(table, "z"); err == nil || !strings.Contains(err.Error(), "a/y") {
		t.Errorf("an unknown name gives %v", err)
	}
}

func TestTheTableSaysWhatItDoes(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range Scenarios() {
		name := s.Bench + "/" + s.Name
		if seen[name] {
			t.Errorf("%s stands twice in the table", name)
		}
		seen[name] = true
		if len(s.Work) < 20 || s.Unit == "" || s.N < 1 || s.Samples < MinSamples || s.Better != Lower && s.Better != Higher {
			t.Errorf("%s lacks something: %+v", name, s)
		}
	}
}

func TestTableLinesUp(t *testing.T) {
	ref, ratio, foreign := 408.0, 0.125, 0.02
	var out strings.Builder
	err := WriteTable(&out, []Row{
		{Bench: "walk", Row: "task-sync", Value: 51, Unit: "ns", Ref: &ref, Ratio: &ratio, RefName: "go + channel", ForeignCPU: &foreign},
		{Bench: "walk", Row: "first-result", Value: 12.345, Unit: "ms"},
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `                row  value  ref      ratio  allocs  others  against
     walk/task-sync   51.0  408  ns   0.12       -    0.02  go + channel
  walk/first-result   12.3    -  ms      -       -       -  -
`
	if out.String() != want {
		t.Errorf("table is\n%s\nwant\n%s", out.String(), want)
	}
}

func TestPerOp(t *testing.T) {
	if v := perOp(3*time.Millisecond, 1000, microseconds); v != 3 {
		t.Errorf("3 ms for 1000 operations are %v us each", v)
	}
}

func TestCommit(t *testing.T) {
	if c := checkoutCommit(t.TempDir()); c != "unknown" {
		t.Errorf("outside a checkout the commit is %q", c)
	}
	if c := commit(); len(c) != 40 && c != "unknown" {
		t.Errorf("commit is %q", c)
	}
}
