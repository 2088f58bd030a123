package session

import (
	"reflect"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
)

var here, there = id.Addr{Node: "a", Proc: 1}, id.Addr{Node: "b", Proc: 2}

type callerStep struct {
	ev   Event
	want []Action
}

func runCaller(t *testing.T, c *Caller, steps []callerStep) {
	t.Helper()
	for i, s := range steps {
		if got := c.Step(s.ev, 0); len(got)+len(s.want) > 0 && !reflect.DeepEqual(got, s.want) {
			t.Fatalf("step %d, %#v:\n got %#v\nwant %#v", i, s.ev, got, s.want)
		}
	}
}

func TestCallsWaitForThePlace(t *testing.T) {
	runCaller(t, NewCaller(0), []callerStep{
		{Call{}, nil},
		{Call{}, nil},
		{Located{here, 1}, []Action{Send{1, 0, here, 1}, Send{2, 0, here, 1}}},
		{Result{2}, []Action{Done{2}}},
		{Result{2}, nil},
		{Result{9}, nil},
		{Call{}, []Action{Send{3, 0, here, 1}}},
		{Result{1}, []Action{Done{1}}},
		{Call{}, []Action{Send{4, 2, here, 1}}},
		{Resend{}, []Action{Send{3, 2, here, 1}, Send{4, 2, here, 1}}},
	})
}

func TestDeathTellsWhatMayHaveRun(t *testing.T) {
	c := NewCaller(0)
	runCaller(t, c, []callerStep{
		{Call{}, nil},
		{Dead{errKilled}, []Action{Fail{1, false, errKilled}}},
		{Call{}, []Action{Fail{2, false, errKilled}}},
		{Located{here, 1}, nil},
		{Dead{errKilled}, nil},
	})
	c = NewCaller(0)
	runCaller(t, c, []callerStep{
		{Located{here, 1}, nil},
		{Call{}, []Action{Send{1, 0, here, 1}}},
		{Call{}, []Action{Send{2, 0, here, 1}}},
		{Result{1}, []Action{Done{1}}},
		{Dead{errKilled}, []Action{Fail{2, true, errKilled}}},
	})
	if c.Pending() != 0 {
		t.Fatal(c.Pending(), "calls pending after death")
	}
}

func TestNewIncarnationGetsOnlyWhatWasNotSent(t *testing.T) {
	c := NewCaller(0)
	c.Step(Located{here, 1}, 0)
	for range Window + 1 {
		c.Step(Call{}, 0)
	}
	acts := c.Step(Located{there, 2}, 0)
	if len(acts) != Window+1 {
		t.Fatalf("%d actions", len(acts))
	}
	for i, a := range acts[:Window] {
		if a != (Fail{uint64(i + 1), true, nil}) {
			t.Fatalf("%#v", a)
		}
	}
	if last := acts[Window]; last != (Send{Window + 1, Window, there, 2}) {
		t.Fatalf("%#v", last)
	}
	if acts := c.Step(Located{here, 1}, 0); acts != nil {
		t.Fatalf("an old incarnation was believed: %#v", acts)
	}
}

func TestPendingIsBounded(t *testing.T) {
	runCaller(t, NewCaller(1), []callerStep{
		{Call{}, nil},
		{Call{}, []Action{Full{}}},
		{Located{here, 1}, []Action{Send{1, 0, here, 1}}},
		{Result{1}, []Action{Done{1}}},
		{Call{}, []Action{Send{2, 1, here, 1}}},
	})
}

func TestCallee(t *testing.T) {
	c := NewCallee(3)
	for i, s := range []struct {
		ev   CalleeEvent
		want []CalleeAction
	}{
		{Arrived{1, 0, 2, "x"}, []CalleeAction{Refuse{1, 3}}},
		{Arrived{12, 10, 3, "12"}, nil}, // 1 to 10 had their outcome elsewhere
		{Arrived{11, 10, 3, "11"}, []CalleeAction{Run{11, "11"}, Run{12, "12"}}},
		{Arrived{11, 10, 3, "11"}, nil}, // it is running
		{Finished{11, "r11"}, []CalleeAction{Answer{11, "r11"}}},
		{Finished{11, "r11"}, nil},
		{Finished{13, "r13"}, nil},
		{Arrived{11, 10, 3, "11"}, []CalleeAction{Answer{11, "r11"}}},
		{Taken{12}, nil}, // not finished
		{Taken{11}, nil},
		{Arrived{11, 10, 3, "11"}, nil},
		{Finished{12, "r12"}, []CalleeAction{Answer{12, "r12"}}},
		{Arrived{13, 12, 3, "13"}, []CalleeAction{Run{13, "13"}}},
		{Arrived{12 + Window + 1, 12, 3, "far"}, nil},
		{Arrived{14, 1 << 63, 3, "14"}, []CalleeAction{Run{14, "14"}}}, // an impossible Acked is ignored
	} {
		if got := c.Step(s.ev, 0); len(got)+len(s.want) > 0 && !reflect.DeepEqual(got, s.want) {
			t.Fatalf("step %d, %#v:\n got %#v\nwant %#v", i, s.ev, got, s.want)
		}
	}
	if c.Len() != 2 {
		t.Fatalf("%d calls kept, want 13 and 14", c.Len())
	}
}
