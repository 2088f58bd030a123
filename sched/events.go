package sched

import "github.com/kadrehq/kadre/internal/trace"

// note keeps an event, of what happens seldom.
func (e *Engine) note(kind, text string, n int64) {
	e.events.Add(trace.Event{Layer: "sched", Kind: kind, N: n, Text: text})
}

// Events are the last events: tasks that panicked or were abandoned, slots that the monitor added because nothing
// progressed, and took back.
func (e *Engine) Events() []trace.Event { return e.events.Events() }
