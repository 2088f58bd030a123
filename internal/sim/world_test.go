package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// story plays ping-pong with crashes and tells what happened.
func story(seed uint64) (log []string) {
	var w *World[int]
	w = New(seed, 3, Net{Min: time.Millisecond, Max: 9 * time.Millisecond, Loss: 0.2, Dup: 0.3}, func(to, from, m int) {
		log = append(log, fmt.Sprint(w.Now(), " ", from, ">", to, " ", m))
		w.Send(to, from, m+1)
		w.On(to, time.Millisecond, func() { log = append(log, fmt.Sprint("timer ", to, w.Life(to))) })
	})
	for i := range 20 {
		w.Send(i%3, (i+1)%3, 0)
	}
	w.After(20*time.Millisecond, func() { w.Crash(1) })
	w.After(30*time.Millisecond, func() { w.Restart(1); w.Send(1, 2, 100) })
	w.Run(500, func() bool { return false })
	return log
}

func TestReplay(t *testing.T) {
	a := story(1)
	if len(a) < 50 || !slices.Equal(a, story(1)) {
		t.Fatal("one seed, two stories")
	}
	if slices.Equal(a, story(2)) {
		t.Fatal("two seeds, one story")
	}
}

func TestNodesAndCuts(t *testing.T) {
	got := 0
	w := New(1, 2, Net{Max: time.Millisecond}, func(to, from, m int) { got += m })
	never := func() bool { return false }
	w.Cut(0, 1)
	w.Send(0, 1, 1)
	w.Run(10, never)
	w.Heal(0, 1)
	w.Send(0, 1, 10)
	w.Run(10, never)
	w.On(1, time.Second, func() { got += 100 })
	w.Crash(1)
	w.Send(0, 1, 1000)
	w.Run(10, never)
	w.Restart(1)
	w.Send(0, 1, 10000)
	if !w.Run(10, func() bool { return got == 10010 }) || !w.Up(1) || w.Life(1) != 2 || w.Steps() < 4 {
		t.Fatal(got, w.Life(1), w.Steps())
	}
}
