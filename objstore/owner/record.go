package owner

import (
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// State is where an object stands.
type State uint8

// The states of an object; the package comment draws them.
const (
	StatePending State = iota + 1
	StateReady
	StateFailed
	StateLost
	StateFreed
)

var stateNames = [...]string{StatePending: "pending", StateReady: "ready", StateFailed: "failed", StateLost: "lost", StateFreed: "freed"}

func (s State) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return "unknown"
}

// MaxRemakes bounds how often one object is made again: an object whose copies keep vanishing is lost.
const MaxRemakes = 10

// record is what the table knows of one object.
type record struct {
	state      State
	remakeable bool
	dropped    bool // it was, until its specification had to go
	stored     bool
	remakes    uint8
	lined      bool   // counts as lineage
	attempt    uint32 // the one that may seal while pending, else the last one; all below are fenced
	size       uint64
	hash       uint64
	spec       int64       // bytes of its specification
	holders    []id.Node   // nodes with a copy of attempt; a set in order of arrival
	last       id.Node     // the node whose copy was the last one, once there was none
	loss       *Loss       // set in StateLost
	borrowers  []id.Addr   // processes that refer to it; a set in order of arrival
	contains   []id.Object // held for this value
	args       []id.Object // arguments of its task that have records here
	pin        pin         // how this record counts on its args
	of         id.Object   // the result with which it is made again; zero: it is one itself. Then args is that
	led        bool        // there were further objects with it that can be made again
	local      int         // holds of this process
	needed     int         // records whose pin on this one is pinNeeded
	lineage    int         // records whose pin on this one is pinLineage
}

// pin is how a record counts on its arguments.
type pin uint8

const (
	pinNone    pin = iota
	pinNeeded      // their data, while it is pending
	pinLineage     // their records, while it may be made again
)

// referenced says whether somebody may want the data.
func (r *record) referenced() bool {
	return r.local > 0 || r.needed > 0 || len(r.borrowers) > 0
}

// isResult says whether a task is run for the object, which is not one that comes with the result of another.
func (r *record) isResult() bool { return r.of == (id.Object{}) }

// kept says whether lineage counts on the record's task: a value that can be lost, or others made with it can.
func (r *record) kept() bool { return r.stored || r.led }

// gone says whether the value exists nowhere although it did.
func (r *record) gone() bool {
	return r.state == StateFreed || r.state == StateReady && r.stored && len(r.holders) == 0
}

// holds says whether the copy on a node is on record. An arena has one copy of an object, so it is the accepted one.
func (r *record) holds(n id.Node) bool { return slices.Contains(r.holders, n) }

// add puts v into a set.
func add[T comparable](set []T, v T) []T {
	if slices.Contains(set, v) {
		return set
	}
	return append(set, v)
}

// remove takes all v that match out of a set and says whether there were any.
func remove[T any](set *[]T, match func(T) bool) bool {
	n := len(*set)
	*set = slices.DeleteFunc(*set, match)
	return len(*set) != n
}
