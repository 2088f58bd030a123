package lane

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"time"
)

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); <-time.After(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("never came: " + what)
		}
	}
}

// TestClassesOvertake saturates a lane whose peer has stopped reading: when it reads on, membership comes before
// requests, and both before what the bond has to send.
func TestClassesOvertake(t *testing.T) {
	d, l := pair(t)
	ab, bb := NewBond(), NewBond()
	a, b := ab.Lane(d), bb.Lane(l)
	gate, first, last := make(chan struct{}), make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(first) })
	var order []Class
	var wg sync.WaitGroup
	wg.Go(func() { a.Run(func(Class, []byte) {}) })
	wg.Go(func() {
		b.Run(func(k Class, p []byte) {
			once()
			<-gate
			order = append(order, k)
			if k == FrameUser && len(p) == 1 {
				close(last)
			}
		})
	})
	if err := ab.Send(make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	<-first
	for {
		err := ab.Send(make([]byte, 1<<20))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, k := range []Class{FrameAnswer, FrameMember} {
		if err := a.Send(k, nil, []byte("now")); err != nil {
			t.Fatal(err)
		}
	}
	close(gate)
	until(t, "room for one more frame", func() bool { return ab.Send([]byte{1}) == nil }) // it comes with confirmations
	<-last
	a.Cut(errors.New("enough"))
	wg.Wait()
	member, answer := slices.Index(order, FrameMember), slices.Index(order, FrameAnswer)
	if member < 0 || member > answer || answer > len(order)-4 {
		t.Errorf("membership came as number %d, the answer as %d, of %d", member, answer, len(order))
	}
}
