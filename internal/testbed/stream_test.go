package testbed_test

import (
	"context"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// wheres yields items that say where the generator runs.
func wheres(ctx context.Context, n int) iter.Seq2[Where, error] {
	return func(yield func(Where, error) bool) {
		for i := range n {
			w, err := here(ctx)
			w.Count = i
			if !yield(w, err) {
				return
			}
		}
	}
}

// patterns yields arrays of bytes that go by the arena.
func patterns(_ context.Context, n, size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for i := range n {
			if !yield(pattern(size, i), nil) {
				return
			}
		}
	}
}

// endless yields until its context has ended, and notes that in a file.
func endless(ctx context.Context, note string) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := 0; yield(i, nil); i++ {
		}
		<-ctx.Done()
		os.WriteFile(note, []byte("ended"), 0o600)
	}
}

var (
	Wheres  = api.Stream1(wheres)
	Blocks  = api.Stream2(patterns)
	Endless = api.Stream1(endless)
)

// StreamJob is what the driver "streams" is told.
type StreamJob struct {
	Other api.NodeID
	Note  string
}

const streamItems = 200

func init() {
	drivers["streams"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		var job StreamJob
		if err := s.Hear(&job); err != nil {
			return err
		}
		there := api.OnNode(job.Other, false)
		if err := readWheres(Wheres.Options(there).Remote(ctx, streamItems).Values(ctx), job.Other, nil); err != nil {
			return err
		}
		n := 0
		for b, err := range Blocks.Options(there, api.Buffer(4)).Remote(ctx, 20, 300<<10).Values(ctx) {
			if err != nil || digest(b) != digest(pattern(300<<10, n)) {
				return fmt.Errorf("block %d of another node: %d bytes, %w", n, len(b), err)
			}
			n++
		}
		if n != 20 {
			return fmt.Errorf("%d blocks of 20", n)
		}
		for i, err := range Endless.Options(there, api.Buffer(3)).Remote(ctx, job.Note).Values(ctx) {
			if err != nil {
				return err
			}
			if i == 10 {
				break
			}
		}
		if err := s.Say("left"); err != nil {
			return err
		}
		soft := Wheres.Options(api.OnNode(job.Other, true), api.MaxRetries(3), api.Buffer(4))
		err := readWheres(soft.Remote(ctx, streamItems).Values(ctx), "", func() error {
			if err := s.Say("half"); err != nil {
				return err
			}
			var killed bool
			return s.Hear(&killed)
		})
		if err != nil {
			return err
		}
		return s.Say("all")
	})
}

// readWheres reads a stream of Wheres, whose items must come each once and in order; in the middle it pauses.
func readWheres(items iter.Seq2[Where, error], on api.NodeID, half func() error) error {
	n := 0
	for w, err := range items {
		if err != nil {
			return fmt.Errorf("item %d: %w", n, err)
		}
		if w.Count != n || on != "" && w.Node != string(on) {
			return fmt.Errorf("item %d is number %d from node %s, not of %s", n, w.Count, w.Node, on)
		}
		if n++; n == streamItems/2 && half != nil {
			if err := half(); err != nil {
				return err
			}
		}
	}
	if n != streamItems {
		return fmt.Errorf("%d items of %d", n, streamItems)
	}
	return nil
}

// TestStreamsBetweenNodes reads streams of generators on another node: values and what lies in its arena, one that is
// left early, and one whose node is killed in the middle and which begins again elsewhere.
func TestStreamsBetweenNodes(t *testing.T) {
	bed := testbed.New(t)
	a := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	b := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "2"}})
	testbed.AwaitMembers(a, b)
	note := filepath.Join(t.TempDir(), "note")
	d := a.Driver("streams")
	d.Tell(StreamJob{api.NodeID(b.ID), note})
	expect := func(want string) {
		t.Helper()
		var said string
		if d.Hear(&said); said != want {
			t.Fatalf("the driver says %q, not %q", said, want)
		}
	}
	expect("left")
	testbed.Until(t, 20*time.Second, func() bool {
		said, _ := os.ReadFile(note)
		return string(said) == "ended"
	}, func() string { return "the generator of a stream that was left goes on" })
	expect("half")
	b.Kill()
	d.Tell(true)
	expect("all")
	d.Succeed(time.Minute)
}
