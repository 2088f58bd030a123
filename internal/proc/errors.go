package proc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// Sentinels that package api gives to users.
var (
	ErrCancelled = sched.ErrCancelled
	ErrClosed    = sched.ErrClosed
	ErrNoRuntime = errors.New("kadre: no runtime: call api.Init first, or pass a context from Runtime.Context")
	ErrZero      = errors.New("kadre: zero Ref or Actor: it names nothing; use one that Remote, Put or GetActor returned")
	ErrNotFound  = errors.New("kadre: not found")
	ErrBusy      = errors.New("kadre: too many unfinished calls; wait for some of them first")
)

// TaskError is the failure of a user's function: its own error or a panic.
type TaskError struct {
	Func  string  // the function's registered name
	Cause error   // what it returned; for a panic, the panic's value as an error
	Stack string  // of a panic
	Node  id.Node // where it ran; empty in the caller's own process
	PID   int
}

func (e *TaskError) Error() string {
	where := ""
	if e.Node != "" {
		where = fmt.Sprintf(" on node %s (pid %d)", e.Node.Short(), e.PID)
	}
	return fmt.Sprintf("task %s%s: %v", e.Func, where, e.Cause)
}

func (e *TaskError) Unwrap() error { return e.Cause }

// WorkerDiedError says that the process that ran a task ended, more often than the task's retries allow.
type WorkerDiedError struct {
	Func string
	Node id.Node
	Why  string // how it ended, in one line; below it what it wrote last
}

func (e *WorkerDiedError) Error() string {
	why, wrote, some := strings.Cut(e.Why, "\n")
	text := fmt.Sprintf("task %s: the process running it on node %s ended: %s; see `kadre logs`, or raise MaxRetries", e.Func, e.Node.Short(), why)
	if some {
		text += "\n" + wrote
	}
	return text
}

// WorkerStartError says that a worker process did not come up.
type WorkerStartError struct{ Text string }

func (e *WorkerStartError) Error() string { return e.Text }

// ActorDiedError says that an actor is gone, and whether the call may have run.
type ActorDiedError struct {
	Actor  id.Actor
	Why    string
	MayRan bool
}

func (e *ActorDiedError) Error() string {
	ran := "the call has not run"
	if e.MayRan {
		ran = "the call may have run"
	}
	return fmt.Sprintf("actor %s is dead: %s (%s)", e.Actor, e.Why, ran)
}

// NameTakenError says that another living actor has the name that was asked for.
type NameTakenError struct {
	Namespace, Name string
	Actor           id.Actor // that has it
	Class           string   // the function that made it
	Node            id.Node  // where it lives
}

func (e *NameTakenError) Error() string {
	return fmt.Sprintf("the name %q of namespace %q is taken by actor %s, made by %s, on node %s: use GetIfExists or GetActor to get it, another name, or Kill it first",
		e.Name, e.Namespace, e.Actor, e.Class, e.Node.Short())
}

// ObjectLostError says that the last copy of an object is gone and that it cannot be made again.
type ObjectLostError struct {
	Object id.Object
	Why    string
}

func (e *ObjectLostError) Error() string {
	return fmt.Sprintf("object %s is lost: %s", e.Object, e.Why)
}

// OutOfMemoryError says that the node's object store has no room.
type OutOfMemoryError struct {
	Want, Used, Capacity int64
	Text                 string
}

func (e *OutOfMemoryError) Error() string { return e.Text }

// UnschedulableError says what no node of the cluster can give.
type UnschedulableError struct{ Text string }

func (e *UnschedulableError) Error() string { return e.Text }

// UnavailableError says that a part of the cluster did not answer.
type UnavailableError struct{ Text string }

func (e *UnavailableError) Error() string { return e.Text }

// VersionSkewError says that two parts of the system are of versions that do not understand each other.
type VersionSkewError struct{ Text string }

func (e *VersionSkewError) Error() string { return e.Text }

// record makes err ready to travel.
func (p *Process) record(err error, fn string) *wire.ErrorRecord {
	r := &wire.ErrorRecord{Class: wire.ErrorTask, Text: err.Error(), Func: fn, Node: p.self.Node, PID: p.pid}
	var (
		task   *TaskError
		died   *WorkerDiedError
		start  *WorkerStartError
		actor  *ActorDiedError
		lost   *ObjectLostError
		taken  *NameTakenError
		oom    *OutOfMemoryError
		unsch  *UnschedulableError
		unav   *UnavailableError
		skew   *VersionSkewError
		on     *wire.ErrorRecord
		isTask = errors.As(err, &task)
	)
	switch {
	case isTask:
		r.Text, r.Stack, r.Func = task.Cause.Error(), task.Stack, task.Func
		r.Known, r.Typed = crossing(task.Cause)
		if task.Node != "" {
			r.Node, r.PID = task.Node, task.PID
		}
	case errors.As(err, &on):
		return on
	case errors.Is(err, ErrCancelled):
		r.Class = wire.ErrorCancelled
		r.Known, _ = crossing(err)
	case errors.Is(err, ErrClosed):
		r.Class = wire.ErrorClosed
	case errors.As(err, &died):
		r.Class, r.Func, r.Node, r.Text = wire.ErrorWorkerDied, died.Func, died.Node, died.Why
	case errors.As(err, &start):
		r.Class = wire.ErrorWorkerStart
	case errors.As(err, &actor):
		r.Class, r.Actor, r.Text, r.MayRan = wire.ErrorActorDied, actor.Actor, actor.Why, actor.MayRan
	case errors.As(err, &taken):
		r.Class, r.Actor, r.Node = wire.ErrorNameTaken, taken.Actor, taken.Node
		r.Known = []string{taken.Namespace, taken.Name, taken.Class}
	case errors.As(err, &lost):
		r.Class, r.Object, r.Text = wire.ErrorObjectLost, lost.Object, lost.Why
	case errors.As(err, &oom):
		r.Class, r.Sizes = wire.ErrorOutOfMemory, [3]int64{oom.Want, oom.Used, oom.Capacity}
	case errors.As(err, &unsch):
		r.Class = wire.ErrorUnschedulable
	case errors.As(err, &unav):
		r.Class = wire.ErrorUnavailable
	case errors.As(err, &skew):
		r.Class = wire.ErrorVersion
	default:
		r.Known, r.Typed = crossing(err)
	}
	return r
}

// failure makes an error of what travelled.
func failure(r *wire.ErrorRecord) error {
	switch r.Class {
	case wire.ErrorTask:
		return &TaskError{Func: r.Func, Cause: revive(r), Stack: r.Stack, Node: r.Node, PID: r.PID}
	case wire.ErrorCancelled:
		if slices.Contains(r.Known, "context.DeadlineExceeded") {
			return &sched.CancelledError{Cause: context.DeadlineExceeded}
		}
		return ErrCancelled
	case wire.ErrorWorkerDied:
		return &WorkerDiedError{Func: r.Func, Node: r.Node, Why: r.Text}
	case wire.ErrorWorkerStart:
		text := r.Text
		if r.Stack != "" {
			text += "; its standard error ends with:\n" + r.Stack
		}
		return &WorkerStartError{Text: text}
	case wire.ErrorActorDied:
		return &ActorDiedError{Actor: r.Actor, Why: r.Text, MayRan: r.MayRan}
	case wire.ErrorNameTaken:
		if len(r.Known) == 3 {
			return &NameTakenError{Namespace: r.Known[0], Name: r.Known[1], Class: r.Known[2], Actor: r.Actor, Node: r.Node}
		}
		return &UnavailableError{Text: r.Text}
	case wire.ErrorNotFound:
		return fmt.Errorf("%w: %s", ErrNotFound, r.Text)
	case wire.ErrorObjectLost:
		return &ObjectLostError{Object: r.Object, Why: r.Text}
	case wire.ErrorUnschedulable:
		return &UnschedulableError{Text: r.Text}
	case wire.ErrorOutOfMemory:
		return &OutOfMemoryError{Want: r.Sizes[0], Used: r.Sizes[1], Capacity: r.Sizes[2], Text: r.Text}
	case wire.ErrorVersion:
		return &VersionSkewError{Text: r.Text}
	case wire.ErrorClosed:
		return fmt.Errorf("%w: %s", ErrClosed, r.Text)
	default:
		return &UnavailableError{Text: r.Text}
	}
}

// replied turns the error of a request into one for users.
func replied(err error) error {
	var r *wire.ErrorRecord
	if errors.As(err, &r) {
		return failure(r)
	}
	return err
}

// panicked makes the error of a run that did not return. where, unless nil, finds the object at an address.
func panicked(fn string, err error, where func(uintptr) (id.Object, bool)) error {
	var p *sched.PanicError
	if errors.As(err, &p) {
		cause, ok := p.Value.(error)
		if !ok {
			cause = fmt.Errorf("panic: %v", p.Value)
		} else if _, isRuntime := cause.(runtime.Error); isRuntime {
			cause = fmt.Errorf("panic: %w", cause)
		}
		if at, ok := p.Value.(interface{ Addr() uintptr }); ok && where != nil {
			if o, ok := where(at.Addr()); ok {
				cause = fmt.Errorf("panic: a write to sealed object %s, which does not change any more: copy it first: %w", o, p.Value.(error))
			}
		}
		return &TaskError{Func: fn, Cause: cause, Stack: string(p.Stack)}
	}
	if errors.Is(err, sched.ErrGoexit) {
		return &TaskError{Func: fn, Cause: err}
	}
	return err
}

// nameOf is how messages call a type.
func nameOf(t reflect.Type) string { return t.String() }
