package actor

import (
	"errors"
	"fmt"
)

// maxCalls bounds the calls that wait in one mailbox.
const maxCalls = 1 << 20

// ErrFull says that an actor has too many calls to run.
var ErrFull = fmt.Errorf("actor: more than %d calls wait for one actor: wait for results before calling on", maxCalls)

// errNotDrained is wrapped around what the engine said.
var errNotDrained = errors.New("actor: the engine does not run the actor's calls any more")

// DiedError is the failure of a call whose actor ended before it had returned.
type DiedError struct {
	Why        error // what was given to Close
	MayHaveRun bool
}

func (e *DiedError) Error() string {
	ran := "the call did not run"
	if e.MayHaveRun {
		ran = "the call may have run"
	}
	return fmt.Sprintf("actor: the actor has ended, %s: %v", ran, e.Why)
}

// Unwrap gives the reason.
func (e *DiedError) Unwrap() error { return e.Why }
