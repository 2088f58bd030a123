package sched

import (
	"context"
	"errors"
	"fmt"
)

// Errors that tasks fail with.
var (
	// ErrClosed is the failure of a task that the engine's Close found unfinished or that came after it.
	ErrClosed = errors.New("sched: engine is closed: submit before Close, and wait for your tasks first")
	// ErrCancelled is matched by the failure of a task whose context ended before it was done.
	// errors.Is(ErrCancelled, context.Canceled) is true.
	ErrCancelled error = &CancelledError{Cause: context.Canceled}
	// ErrGoexit is the failure of a task whose function called runtime.Goexit.
	ErrGoexit = errors.New("sched: task called runtime.Goexit: return an error instead")
	// ErrBusy is the failure of a task that found its queue at its bound.
	ErrBusy = errors.New("sched: too much is unfinished: wait for results before submitting more")
	// ErrTooWide is matched by the failure of a task that asks for more CPU slots than the engine has.
	ErrTooWide = errors.New("sched: task needs more CPU slots than there are")
	// ErrAbandoned is matched by what Close returns when goroutines did not come back in time.
	ErrAbandoned = errors.New("sched: goroutines did not end in time and were abandoned")
)

// CancelledError says why a task was cancelled. It matches ErrCancelled and context.Canceled, and its Cause.
type CancelledError struct {
	Cause error // the context's error
}

func (e *CancelledError) Error() string { return "sched: task cancelled: " + e.Cause.Error() }

// Unwrap gives the context's error.
func (e *CancelledError) Unwrap() error { return e.Cause }

// Is matches ErrCancelled and context.Canceled.
func (e *CancelledError) Is(target error) bool {
	return target == ErrCancelled || target == context.Canceled
}

// PanicError is the failure of a task whose function panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("sched: task panicked: %v", e.Value) }

// Unwrap gives the panic's value where it is an error.
func (e *PanicError) Unwrap() error { err, _ := e.Value.(error); return err }
