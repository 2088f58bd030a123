package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	maxTapes     = 64               // processes that have ended whose records are kept; the oldest go first
	maxTapeBytes = 128 << 20        // of them together
	tapeKept     = 10 * time.Minute // after the process's end
	tapeAnswer   = time.Second      // bounds what a process that records may hold its end up
	maxTapeParts = 1024             // that a process may say there are
)

// tapes are what processes recorded that have ended. They are asked for it before they are let go: a driver when it says
// Bye, workers before they are killed since their job ended. One that dies otherwise takes its record with it.
type tapes struct {
	mu    sync.Mutex
	list  []tape // the oldest first
	bytes int
}

// tape is what one process recorded.
type tape struct {
	Recorder
	parts []json.RawMessage
	bytes int
}

// tapePart is what is looked at of a part of a tape.
type tapePart struct {
	Marks []json.RawMessage `json:"marks"`
	Parts int               `json:"parts"`
}

// records says whether processes that were started with such an environment record tasks, or were told to.
func (n *Node) records(env []string) bool {
	return n.recording() || os.Getenv("KADRE_TRACE") == "1" || slices.Contains(env, traceEnv)
}

// keepTapes has processes that record, and are about to end, leave what they recorded.
func (n *Node) keepTapes(env []string, ps ...*process) {
	if !n.records(env) {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, tapeAnswer)
	defer cancel()
	var wg sync.WaitGroup
	for _, p := range ps {
		wg.Go(func() {
			if err := n.keepTape(ctx, p); err != nil {
				n.log.Debug("node: a process did not leave what it recorded", "pid", p.pid, "err", err)
			}
		})
	}
	wg.Wait()
}

func (n *Node) keepTape(ctx context.Context, p *process) error {
	t := tape{Recorder: n.recorder(p)}
	for i, parts := 0, 1; i < parts; i++ {
		b, err := n.ask(ctx, p.addr, wire.KStatus, wire.Marshal(&wire.StatusQuery{What: fmt.Sprint(viewTape, i)}))
		if err != nil {
			return err
		}
		var x tapePart
		if err := json.Unmarshal(b, &x); err != nil {
			return err
		}
		parts = min(x.Parts, maxTapeParts)
		if len(x.Marks) > 0 {
			t.parts = append(t.parts, b)
			t.bytes += len(b)
		}
	}
	t.Ended = time.Now().UnixNano()
	if len(t.parts) > 0 {
		n.tapes.add(t)
	}
	return nil
}

func (x *tapes) add(t tape) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.list = append(x.list, t)
	x.bytes += t.bytes
	x.trimLocked()
}

func (x *tapes) trimLocked() {
	for len(x.list) > 0 && (len(x.list) > maxTapes || x.bytes > maxTapeBytes || time.Since(time.Unix(0, x.list[0].Ended)) > tapeKept) {
		x.bytes -= x.list[0].bytes
		x.list[0] = tape{}
		x.list = x.list[1:]
	}
}

// recorders lists whose records are kept.
func (x *tapes) recorders() (rs []Recorder) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.trimLocked()
	for _, t := range x.list {
		rs = append(rs, t.Recorder)
	}
	return rs
}

// part gives a part of what is kept of a process; false where nothing is.
func (x *tapes) part(proc id.Proc, i int) (b json.RawMessage, ok bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, t := range x.list {
		if t.Proc != proc.String() {
			continue
		}
		if i < 0 || i >= len(t.parts) {
			return nil, true, fmt.Errorf("node: tape of process %v: there is no part %d", proc, i)
		}
		var p tapePart
		if err := json.Unmarshal(t.parts[i], &p); err != nil {
			return nil, true, err
		}
		p.Parts = len(t.parts)
		b, err := json.Marshal(&p)
		return b, true, err
	}
	return nil, false, nil
}
