package trace

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Kinds of marks.
const (
	Submitted = iota + 1 // Task was submitted by Other at Start
	Ran                  // Task ran from Start to End
	Waited               // Task, 0: no task, waited for Other from Start to End
	Named                // Task has the ID that other processes know it by
)

// Mark is something that befell a task of a process. A task is named by its address, which another one may have later.
type Mark struct {
	Kind  int    `json:"k"`
	Task  uint64 `json:"t,omitempty"`
	Other uint64 `json:"o,omitempty"`
	Func  string `json:"f,omitempty"`
	Start int64  `json:"s,omitempty"` // Unix nanoseconds
	End   int64  `json:"e,omitempty"`
	ID    string `json:"i,omitempty"`
}

// recording is the switch for all tapes of the process: nothing is recorded until it is turned on.
var recording atomic.Int64 // until when, Unix nanoseconds

// always is the end of a recording that nobody ends.
const always = 1<<63 - 1

func init() {
	if os.Getenv("KADRE_TRACE") == "1" {
		Record(always)
	}
}

// On says whether tasks are recorded. It is one load.
func On() bool { return recording.Load() != 0 }

// Record has tasks recorded for a time, or longer where that was asked for before.
func Record(d time.Duration) {
	until := int64(always)
	if d != always {
		until = time.Now().Add(d).UnixNano()
	}
	for {
		old := recording.Load()
		if old >= until {
			return
		}
		if recording.CompareAndSwap(old, until) {
			break
		}
	}
	if until != always {
		time.AfterFunc(d, func() { recording.CompareAndSwap(until, 0) })
	}
}

// Stop ends recording.
func Stop() { recording.Store(0) }

const (
	tapeStripes = 64
	// stripeSize is how many marks each part of a tape keeps; older ones are overwritten.
	stripeSize = 2048
)

// Tape keeps the last marks of one process. The zero value is ready; it takes no memory before the first mark.
type Tape struct {
	stripes [tapeStripes]struct {
		mu    sync.Mutex
		marks []Mark
		next  int
		_     [32]byte
	}
}

// Add appends a mark; stripe spreads those who add at the same time.
func (t *Tape) Add(stripe int, m Mark) {
	s := &t.stripes[uint(stripe)%tapeStripes]
	s.mu.Lock()
	if len(s.marks) < stripeSize {
		s.marks = append(s.marks, m)
	} else {
		s.marks[s.next%stripeSize] = m
	}
	s.next++
	s.mu.Unlock()
}

// Marks copies a part of the tape, and says how many parts there are.
func (t *Tape) Marks(part int) (marks []Mark, parts int) {
	if part < 0 || part >= tapeStripes {
		return nil, tapeStripes
	}
	s := &t.stripes[part]
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Mark{}, s.marks...), tapeStripes
}
