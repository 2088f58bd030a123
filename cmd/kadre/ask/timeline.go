package ask

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/proc"
	"github.com/kadrehq/kadre/internal/trace"
)

// Recording is one of the tasks of all processes of all nodes.
type Recording struct {
	socket string
	begun  time.Time // zero: nothing was turned on
	seen   map[string]node.Recorder
}

// StartRecording has all processes record their tasks for a time; with 0 nothing is turned on, and the recording is what they
// recorded already, also those that have ended.
func StartRecording(ctx context.Context, socket string, long time.Duration) (*Recording, error) {
	r := &Recording{socket: socket, seen: map[string]node.Recorder{}}
	if long > 0 {
		r.begun = time.Now()
	}
	return r, r.look(ctx, long)
}

// look adds the processes that there are, and has them record.
func (r *Recording) look(ctx context.Context, long time.Duration) error {
	var rs node.List[node.Recorder]
	if err := Into(ctx, r.socket, Record+long.String(), &rs); err != nil {
		return err
	}
	for _, x := range rs.Rows {
		r.seen[x.Proc] = x
	}
	return nil
}

// Write writes what was recorded as a timeline, and says on notes what is not in it.
func (r *Recording) Write(ctx context.Context, path string, notes io.Writer) (marks, processes int, err error) {
	f, err := os.Create(path)
	if err != nil {
		return 0, 0, fmt.Errorf("timeline: %w", err)
	}
	defer f.Close()
	if err := r.look(ctx, 0); err != nil { // those that came meanwhile, and those that have ended
		return 0, 0, err
	}
	var all []trace.Recorded
	for _, x := range slices.SortedFunc(maps.Values(r.seen), func(a, b node.Recorder) int {
		return cmp.Or(cmp.Compare(a.Job, b.Job), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Proc, b.Proc))
	}) {
		if x.Ended != 0 && !r.begun.IsZero() && x.Ended < r.begun.UnixNano() {
			continue // it was over before
		}
		ms, err := r.tapeOf(ctx, x)
		if err != nil {
			fmt.Fprintf(notes, "process %d on node %s is not in it: %v\n", x.PID, x.Node.Short(), err)
			continue
		}
		marks += len(ms)
		all = append(all, trace.Recorded{PID: x.PID, Name: fmt.Sprintf("%s %d on %s, job %s", x.Kind, x.PID, x.Node.Short(), x.Job), Marks: ms})
	}
	w := bufio.NewWriter(f)
	if err := trace.Timeline(w, all); err != nil {
		return marks, len(all), fmt.Errorf("timeline: %w", err)
	}
	if err := w.Flush(); err != nil {
		return marks, len(all), fmt.Errorf("timeline: %w", err)
	}
	if err := f.Close(); err != nil {
		return marks, len(all), fmt.Errorf("timeline: %w", err)
	}
	return marks, len(all), nil
}

// tapeOf is all that a process recorded.
func (r *Recording) tapeOf(ctx context.Context, x node.Recorder) (all []trace.Mark, err error) {
	for part, parts := 0, 1; part < parts; part++ {
		var t proc.Tape
		if err := Into(ctx, r.socket, fmt.Sprintf("%s%s %s %d", Tape, x.Node, x.Proc, part), &t); err != nil {
			return nil, err
		}
		all, parts = append(all, t.Marks...), t.Parts
	}
	return all, nil
}
