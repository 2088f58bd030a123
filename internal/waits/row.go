package waits

import (
	"fmt"
	"slices"
	"strings"
)

// States of a row.
const (
	Queued  = "queued"  // nobody has started it
	Running = "running" // it has a CPU, or does something that the runtime does not see
	Waiting = "waiting" // for Targets, or for what Why says
)

// MaxTargets bounds the targets of a row; there may be more, see Row.More.
const MaxTargets = 64

// Row is a task as listings show it.
type Row struct {
	Key     string   `json:"key"`  // names it among the rows of a cluster
	Task    string   `json:"task"` // its ID; a task that has not left its process has none
	Job     string   `json:"job"`
	Func    string   `json:"func"`
	Actor   string   `json:"actor"`
	State   string   `json:"state"`
	Node    string   `json:"node"`
	PID     int      `json:"pid"`
	Attempt int      `json:"attempt"`
	AgeSec  float64  `json:"age_sec"`        // in this state, where that is known
	Count   int      `json:"count"`          // so many alike, of which nothing else is told; 0: one
	For     []Target `json:"for"`            // what it waits for
	Need    int      `json:"need"`           // how many of For and More have to be done for it to go on
	More    int      `json:"more"`           // targets left out
	Why     string   `json:"why"`            // what it waits for in words, where that is no task
	Wait    uint64   `json:"wait"`           // number of the wait; 0: it may be that another goroutine of the task goes on
	Chain   []string `json:"chain"`          // what it waits for, and what that waits for, in words
	At      string   `json:"at"`             // the process that has it, where another one tells of it
	Proc    string   `json:"proc"`           // the process that can end the wait with an error; "": none can
	Sure    int      `json:"sure,omitempty"` // of rows that several tell of one task that of the highest counts; listings have none
}

// Target is a task that a row waits for.
type Target struct {
	Key  string `json:"key"`
	Func string `json:"func"`
	How  string `json:"how,omitempty"` // in words, where it is not its result that is waited for
}

// Tasks is how many tasks a row stands for.
func (r *Row) Tasks() int { return max(r.Count, 1) }

// name is how chains call a row.
func (r *Row) name() string {
	s := r.Func
	if s == "" {
		s = "a task"
	}
	var more []string
	if r.Actor != "" {
		more = append(more, "of actor "+short(r.Actor))
	}
	if r.PID != 0 {
		more = append(more, fmt.Sprintf("process %d", r.PID))
	}
	if len(more) > 0 {
		s += " (" + strings.Join(more, ", ") + ")"
	}
	return s
}

func short(id string) string { return id[max(0, len(id)-8):] }

// waits says what r waits for, the target at i among it.
func (r *Row) waits(i int) string {
	if how := r.For[i].How; how != "" {
		return how
	}
	return "waits for"
}

// Outside says that a row is of a goroutine that is no task's.
func (r *Row) Outside() bool { return r.Func == OutsideFunc }

// OutsideFunc stands for a function where a goroutine of the program waits that is no task's.
const OutsideFunc = "(program)"

// Best keeps of the rows with one key the one that is most sure of its task, in the order of their keys.
func Best(rows []Row) []Row {
	slices.SortStableFunc(rows, func(a, b Row) int {
		if c := strings.Compare(a.Key, b.Key); c != 0 {
			return c
		}
		return b.Sure - a.Sure
	})
	return slices.CompactFunc(rows, func(a, b Row) bool { return a.Key != "" && a.Key == b.Key })
}

// Compact brings rows down to most by putting alike ones together: queued ones first, then running ones, and those that
// wait at last. Every task stays in some row.
func Compact(rows []Row, most int) []Row {
	for _, state := range []string{Queued, Running, Waiting} {
		if len(rows) <= most {
			return rows
		}
		rows = join(rows, state, most)
	}
	return rows
}

// join puts together the last rows in a state that are alike.
func join(rows []Row, state string, most int) []Row {
	type like struct {
		job, fn, actor, node string
		pid                  int
	}
	kept := make([]Row, 0, most)
	at := map[like]int{}
	over := len(rows) - most
	var single []Row
	for _, r := range rows {
		if r.State == state {
			single = append(single, r)
		} else {
			kept = append(kept, r)
		}
	}
	keep := max(0, len(single)-over-over/8-1) // what is put together takes rows too
	for i, r := range single {
		if i < keep && r.Count == 0 {
			kept = append(kept, r)
			continue
		}
		l := like{r.Job, r.Func, r.Actor, r.Node, r.PID}
		if k, ok := at[l]; ok {
			kept[k].Count += r.Tasks()
			continue
		}
		at[l] = len(kept)
		kept = append(kept, Row{Key: fmt.Sprintf("%s of %s in %d of %s", state, r.Func, r.PID, r.Node), Job: r.Job, Func: r.Func, Actor: r.Actor,
			State: state, Node: r.Node, PID: r.PID, Count: r.Tasks()})
	}
	return kept
}

// Process is what a process tells of itself.
type Process struct {
	Rows   []Row   `json:"rows"`
	Actors []Actor `json:"actors"`
	Funcs  []Func  `json:"funcs"`

	Abandoned int64 `json:"abandoned,omitempty"` // tasks whose functions did not heed their end
}

// Func counts the runs of a function in a process.
type Func struct {
	Name   string `json:"name"`
	Runs   int64  `json:"runs"` // about
	Failed int64  `json:"failed"`
}

// Actor is an actor as listings show it.
type Actor struct {
	ID      string `json:"id"`
	Class   string `json:"class"`
	Job     string `json:"job"`
	State   string `json:"state"` // "idle", "running" or "waiting": what its running call does
	Node    string `json:"node"`
	PID     int    `json:"pid"`
	Running string `json:"running"` // the method
	Queued  int    `json:"queued"`  // calls that wait

	Name      string `json:"name"`
	Namespace string `json:"namespace"` // where Name is unique
}
