package api

import (
	"errors"
	"fmt"
)

// What comes with a later release. A call gives the error of later, or its Ref, Actor or Stream carries
// it; an option makes the calls fail that use it; a call without an error result panics with that text.
// The README's status table is checked against this one.
//
//	Replicas                             Checkpoint
//	Detached
//	MaxRestarts, MaxTaskRetries          MaxConcurrency, MaxPendingCalls

// ErrLater is matched by the errors of everything that comes with a later release.
var ErrLater = errors.New("it comes with a later release")

func later(name string) error {
	return fmt.Errorf("kadre: %s is not available yet: %w", name, ErrLater)
}
