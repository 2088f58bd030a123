package trace

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func check(t *testing.T, all ...Recorded) Summary {
	t.Helper()
	var b bytes.Buffer
	if err := Timeline(&b, all); err != nil {
		t.Fatal(err)
	}
	s, err := Check(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTimeline(t *testing.T) {
	driver := Recorded{PID: 1, Name: "driver", Marks: []Mark{
		{Kind: Submitted, Task: 10, Func: "a", Start: 1000},
		{Kind: Ran, Task: 10, Func: "a", Start: 2000, End: 90000},
		{Kind: Submitted, Task: 11, Other: 10, Func: "b", Start: 3000}, // by a
		{Kind: Named, Task: 11, ID: "x", Start: 3500},
		{Kind: Waited, Task: 10, Other: 11, Func: "b", Start: 4000, End: 80000},
		{Kind: Waited, Other: 10, Func: "a", Start: 1500, End: 95000},
	}}
	worker := Recorded{PID: 2, Name: "worker", Marks: []Mark{
		{Kind: Named, Task: 77, ID: "x", Start: 5000},
		{Kind: Ran, Task: 77, Func: "b", Start: 6000, End: 70000},
	}}
	if s := check(t, driver, worker); s != (Summary{Slices: 5, Flows: 2, Gets: 2, Crossing: 1, Processes: 2}) {
		t.Errorf("%+v", s)
	}
}

// TestRandomTimelines has tasks that submit and wait for others at random, also at addresses that come again.
func TestRandomTimelines(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 2))
		var all []Recorded
		for p := range 1 + r.IntN(3) {
			rec := Recorded{PID: p + 1, Name: fmt.Sprint(p)}
			for range 100 {
				at, long := r.Int64N(100_000), r.Int64N(20_000)
				m := Mark{Kind: 1 + r.IntN(4), Task: uint64(r.IntN(30)), Other: uint64(r.IntN(30)), Func: "f", Start: at + 1, End: at + 1 + long}
				if m.Kind == Named {
					m.ID = fmt.Sprint(r.IntN(50))
				}
				rec.Marks = append(rec.Marks, m)
			}
			all = append(all, rec)
		}
		check(t, all...)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	x := func(ts, dur float64) string {
		return fmt.Sprintf(`{"name":"x","ph":"X","ts":%v,"dur":%v,"pid":1,"tid":1}`, ts, dur)
	}
	point := func(ph string, ts float64) string {
		return fmt.Sprintf(`{"name":"x","ph":%q,"ts":%v,"pid":1,"tid":1,"id":1}`, ph, ts)
	}
	for what, events := range map[string][]string{
		"overlaps":      {x(0, 10), x(5, 10)},
		"points":        {x(0, 10), point("s", 1)},
		"lies in no":    {x(0, 10), point("s", 1), point("f", 20)},
		"goes back":     {x(0, 10), point("s", 5), point("f", 2)},
		"phase":         {point("q", 5)},
		"bad slice":     {x(0, -1)},
		"lacks a field": {`{"name":"x","ph":"X","ts":1,"pid":1,"tid":1}`},
		"unexpected en": {"{"},
	} {
		_, err := Check([]byte(`{"traceEvents":[` + strings.Join(events, ",") + `]}`))
		if err == nil || !strings.Contains(err.Error(), what) && what != "unexpected en" {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		defer Stop()
		Record(time.Second)
		Record(time.Millisecond) // shorter
		time.Sleep(500 * time.Millisecond)
		if !On() {
			t.Error("it has ended early")
		}
		time.Sleep(time.Second)
		if On() {
			t.Error("it has not ended")
		}
	})
}

func TestTape(t *testing.T) {
	var tape Tape
	for i := range 3 * stripeSize {
		tape.Add(5, Mark{Start: int64(i)})
	}
	ms, parts := tape.Marks(5)
	if len(ms) != stripeSize || parts != tapeStripes {
		t.Fatalf("%d marks, %d parts", len(ms), parts)
	}
	for _, m := range ms {
		if m.Start < 2*stripeSize {
			t.Fatalf("an old mark is left: %+v", m)
		}
	}
	if ms, _ := tape.Marks(tapeStripes); ms != nil {
		t.Error("a part too many")
	}
}
