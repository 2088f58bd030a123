package api

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/proc"
)

// The failures of tasks, actors and objects, for errors.As.
type (
	// TaskError is the failure of a user's function: the error it returned, or its panic with the stack.
	TaskError = proc.TaskError
	// WorkerDiedError says that the process that ran a task ended, more often than the task's retries allow.
	WorkerDiedError = proc.WorkerDiedError
	// WorkerStartError says that a worker process did not reach Init or RunWorker.
	WorkerStartError = proc.WorkerStartError
	// ActorDiedError says that an actor is gone, and whether the call may have run.
	ActorDiedError = proc.ActorDiedError
	// NameTakenError says that another living actor has the name, and where it lives.
	NameTakenError = proc.NameTakenError
	// ObjectLostError says that the last copy of an object is gone and that it cannot be made again.
	ObjectLostError = proc.ObjectLostError
	// OutOfMemoryError says that the node's object store has no room.
	OutOfMemoryError = proc.OutOfMemoryError
	// UnschedulableError says what no node of the cluster can give.
	UnschedulableError = proc.UnschedulableError
	// UnavailableError says that a part of the cluster did not answer.
	UnavailableError = proc.UnavailableError
	// VersionSkewError says that two parts of the system do not understand each other.
	VersionSkewError = proc.VersionSkewError
	// DeadlockError says who waits for whom, in the Get that it ends. Across processes errors.Is finds ErrDeadlock.
	DeadlockError = proc.DeadlockError
)

// Sentinels, for errors.Is.
var (
	// ErrCancelled is the failure of a task whose context ended. It is also context.Canceled.
	ErrCancelled = proc.ErrCancelled
	// ErrClosed is what calls on a closed Runtime give.
	ErrClosed = proc.ErrClosed
	// ErrNoRuntime is what calls give before Init.
	ErrNoRuntime = proc.ErrNoRuntime
	// ErrZero is what calls on the zero Ref or Actor give.
	ErrZero = proc.ErrZero
	// ErrNotFound says that there is nothing of that name.
	ErrNotFound = proc.ErrNotFound
	// ErrBusy says that there are too many unfinished calls.
	ErrBusy = proc.ErrBusy
	// ErrDeadlock ends a Get, GetAll or Wait in a task that waits for itself, by way of others; see DeadlockError.
	ErrDeadlock = proc.ErrDeadlock
)

// RegisterError makes errors.Is find errs in the error of a task that ran in another process. Sentinels of
// context, io and io/fs are known already. It belongs in func init() and panics after Init.
func RegisterError(errs ...error) {
	mustBeEarly("RegisterError")
	_, where := caller()
	for i, err := range errs {
		if err == nil {
			panic(fmt.Sprintf("kadre: RegisterError (%s): error %d is nil", where, i+1))
		}
		if !reflect.TypeOf(err).Comparable() {
			panic(fmt.Sprintf("kadre: RegisterError (%s): %T is not comparable, so errors.Is would not find it: use RegisterErrorType", where, err))
		}
		if err := proc.RegisterSentinel(fmt.Sprintf("%s#%d %s", where, i, err), err); err != nil {
			panic(fmt.Errorf("kadre: RegisterError (%s): %w", where, err))
		}
	}
}

// RegisterErrorType makes errors.As find an E in the error of a task that ran in another process: its exported
// fields go along. E is encoded as arguments and results are, and panics here where those would. It belongs
// in func init() and panics after Init.
func RegisterErrorType[E error]() {
	mustBeEarly("RegisterErrorType")
	t := reflect.TypeFor[E]()
	if t.Kind() == reflect.Interface {
		orPanic("RegisterErrorType", t, errors.New("an interface is no type of errors: give the types that implement it"))
	}
	pl, err := codec.PlanFor(t)
	orPanic("RegisterErrorType", t, err)
	_, where := caller()
	orPanic("RegisterErrorType", t, proc.RegisterErrorType(&proc.ErrorType{Type: t, Where: where,
		Encode: func(err error) ([]byte, error) {
			e := err.(E)
			enc, fail := encodeAt(nil, pl, &e)
			return enc.Bytes(), fail
		},
		Decode: func(data []byte) (error, error) {
			var e E
			err := decodeAt(nil, pl, data, &e)
			return e, err
		},
	}))
}
