package trace

import (
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Size is how many events a ring keeps: about a minute of a busy node's steals.
const Size = 16384

// Event is one thing that happened.
type Event struct {
	Seq   uint64 `json:"seq"`  // from 1, without gaps
	Time  int64  `json:"time"` // Unix nanoseconds
	Layer string `json:"layer"`
	Kind  string `json:"kind"`
	Peer  string `json:"peer"`
	Task  string `json:"task"`
	N     int64  `json:"n"`
	Text  string `json:"text"`
}

// Ring keeps the last Size events. The zero value is ready.
type Ring struct {
	mu     sync.Mutex
	events []Event
	next   uint64 // the last Seq
}

// Add appends an event; it fills in Seq and Time.
func (r *Ring) Add(e Event) {
	e.Time = time.Now().UnixNano()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.next++
	e.Seq = r.next
	if len(r.events) < Size {
		r.events = append(r.events, e)
		return
	}
	r.events[(e.Seq-1)%Size] = e
}

// AddTasks appends one event of the same kind for each task, next to each other.
func (r *Ring) AddTasks(e Event, tasks []id.Task) {
	for _, t := range tasks {
		e.Task = t.String()
		r.Add(e)
	}
}

// Events copies what is kept, oldest first.
func (r *Ring) Events() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]Event, 0, len(r.events))
	first := int(r.next % Size)
	if len(r.events) < Size {
		first = 0
	}
	out = append(out, r.events[first:]...)
	return append(out, r.events[:first]...)
}
