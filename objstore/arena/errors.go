package arena

import (
	"errors"
	"fmt"
)

var (
	// ErrExists says that an object of this ID is there, or that someone is just creating it.
	ErrExists = errors.New("arena: object exists or is being created")
	// ErrFull says that there is no room now; errors.As gives the [FullError] with the numbers.
	ErrFull = errors.New("arena: full")
	// ErrTooLarge says that an object is larger than the whole arena.
	ErrTooLarge = errors.New("arena: object larger than the arena")
	// ErrClosed says that this process has closed the arena.
	ErrClosed = errors.New("arena: closed")
	// ErrClientsFull says that all client slots are taken.
	ErrClientsFull = errors.New("arena: all client slots are taken")
	// ErrNotNode says that only the process that created the arena may do this.
	ErrNotNode = errors.New("arena: only the node may do this")
	// ErrSettled says that a Writer was already sealed or aborted, or its entry taken away.
	ErrSettled = errors.New("arena: writer already sealed or aborted")
)

// What can be full.
const (
	FullBytes   = "bytes"   // no run of free granules, or no free block, of the size
	FullEntries = "entries" // no free entry
	FullIndex   = "index"   // no free index slot near the ID's bucket
	FullMemory  = "memory"  // the system has no memory for pages that the arena would have
)

// FullError says what there was too little of. It is [ErrFull] for errors.Is.
type FullError struct {
	What  string // FullBytes, FullEntries, FullIndex or FullMemory
	Size  int64  // bytes asked for
	Free  int64  // bytes in free granules
	Run   int64  // bytes in the longest run of free granules
	Total int64  // bytes of the arena
	Cause error  // for FullMemory: what the system said
}

func (e *FullError) Error() string {
	s := fmt.Sprintf("arena: full: no %s for an object of %d bytes (free granules %d bytes, longest run %d, arena %d): release or delete objects, or give the node a larger arena", e.What, e.Size, e.Free, e.Run, e.Total)
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Is makes a FullError an ErrFull.
func (e *FullError) Is(target error) bool { return target == ErrFull }

// Unwrap gives the cause.
func (e *FullError) Unwrap() error { return e.Cause }
