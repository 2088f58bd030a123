package proc

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
)

// markName records by which ID another process knows a task, while tasks are recorded.
func (p *Process) markName(f *Future, i id.Task) {
	if trace.On() {
		p.engine.MarkName(&f.Task, i.String())
	}
}

// Tape is a part of what a process recorded.
type Tape struct {
	Marks []trace.Mark `json:"marks"`
	Parts int          `json:"parts"` // how many there are
}

// The questions about recording that a process answers; the node passes them on.
const (
	askRecord = "record " // and for how long
	askTape   = "tape "   // and which part
)

// traced answers questions about recording; ok is false for others.
func (p *Process) traced(what string) (b []byte, ok bool, err error) {
	if d, yes := strings.CutPrefix(what, askRecord); yes {
		long, err := time.ParseDuration(d)
		if err == nil && long > 0 {
			trace.Record(long)
		}
		return []byte("null"), true, err
	}
	n, yes := strings.CutPrefix(what, askTape)
	if !yes {
		return nil, false, nil
	}
	part, err := strconv.Atoi(n)
	if err != nil {
		return nil, true, fmt.Errorf("kadre: %q is no part of a tape", n)
	}
	var t Tape
	t.Marks, t.Parts = p.engine.Marks(part)
	b, err = json.Marshal(&t)
	return b, true, err
}
