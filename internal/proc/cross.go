package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"sync"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/wire"
)

// remoteError is a user's error after its journey: its text, and those of its chain that are known here.
type remoteError struct {
	text  string
	chain []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.chain }

// ErrorType is a type of errors whose values cross.
type ErrorType struct {
	Type   reflect.Type
	Where  string // package and file:line of its registration
	Encode func(err error) ([]byte, error)
	Decode func(data []byte) (error, error)
}

// known holds the errors that cross, by name: sentinels, and types by how reflection calls them.
var known = struct {
	mu     sync.RWMutex
	byName map[string]error
	types  map[string]*ErrorType
}{types: map[string]*ErrorType{}, byName: map[string]error{
	"context.Canceled": context.Canceled, "context.DeadlineExceeded": context.DeadlineExceeded,
	"io.EOF": io.EOF, "io.ErrUnexpectedEOF": io.ErrUnexpectedEOF, "io.ErrClosedPipe": io.ErrClosedPipe,
	"io.ErrShortWrite": io.ErrShortWrite, "io.ErrShortBuffer": io.ErrShortBuffer, "io.ErrNoProgress": io.ErrNoProgress,
	"fs.ErrInvalid": fs.ErrInvalid, "fs.ErrPermission": fs.ErrPermission, "fs.ErrExist": fs.ErrExist,
	"fs.ErrNotExist": fs.ErrNotExist, "fs.ErrClosed": fs.ErrClosed,
	"kadre.ErrNoRuntime": ErrNoRuntime, "kadre.ErrZero": ErrZero, "kadre.ErrNotFound": ErrNotFound, "kadre.ErrBusy": ErrBusy,
	"kadre.ErrClosed": ErrClosed, "kadre.ErrCancelled": ErrCancelled, "kadre.ErrDeadlock": ErrDeadlock,
}}

func init() {
	ownError[ActorDiedError]()
	ownError[NameTakenError]()
	ownError[WorkerDiedError]()
	ownError[WorkerStartError]()
	ownError[ObjectLostError]()
	ownError[OutOfMemoryError]()
	ownError[UnschedulableError]()
	ownError[UnavailableError]()
	ownError[VersionSkewError]()
}

// ownError has a type of the runtime's own errors cross where a task returns one that it got.
func ownError[E any]() {
	t := reflect.TypeFor[*E]()
	known.types[typeName(t)] = &ErrorType{Type: t, Where: "package proc",
		Encode: func(err error) ([]byte, error) {
			e, err := codec.EncodeValue(nil, *any(err).(*E))
			if err != nil {
				return nil, err
			}
			return e.Bytes(), nil
		},
		Decode: func(data []byte) (error, error) {
			e, err := codec.DecodeValue[E](nil, data)
			if err != nil {
				return nil, err
			}
			return any(&e).(error), nil
		},
	}
}

const (
	maxChain = 64       // errors of a chain, or tree, that are looked at
	maxTyped = 16       // of which so many travel as values
	maxValue = 16 << 10 // bytes of one of them
)

// RegisterSentinel makes errors.Is find err after a journey, under a name that is the same in all processes of
// the job. Registering one error twice does nothing.
func RegisterSentinel(name string, err error) error {
	known.mu.Lock()
	defer known.mu.Unlock()
	for n, s := range known.byName {
		if same(s, err) {
			return nil
		}
		if n == name {
			return fmt.Errorf("%q is registered already as another error: %q", n, s)
		}
	}
	known.byName[name] = err
	return nil
}

// RegisterErrorType makes errors.As find errors of t's type after a journey.
func RegisterErrorType(t *ErrorType) error {
	known.mu.Lock()
	defer known.mu.Unlock()
	name := typeName(t.Type)
	if old := known.types[name]; old != nil && old.Type != t.Type {
		return fmt.Errorf("another type of that name is registered at %s", old.Where)
	}
	known.types[name] = t
	return nil
}

// typeName names a type in all processes of a job, with its package's path.
func typeName(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		return "*" + typeName(t.Elem())
	}
	return t.PkgPath() + "." + t.Name()
}

// crossing tells what of err's chain goes along: names of sentinels, and values of registered types, the
// outermost first. A value that cannot be encoded stays behind; its text is in that of err.
func crossing(err error) (names []string, typed []wire.TypedError) {
	known.mu.RLock()
	defer known.mu.RUnlock()
	for n, s := range known.byName {
		if errors.Is(err, s) {
			names = append(names, n)
		}
	}
	left := maxChain
	walk(err, &left, func(e error) {
		name := typeName(reflect.TypeOf(e))
		t := known.types[name]
		if t == nil || len(typed) == maxTyped {
			return
		}
		if data, err := t.Encode(e); err == nil && len(data) <= maxValue {
			typed = append(typed, wire.TypedError{Name: name, Data: data})
		}
	})
	return names, typed
}

// walk calls visit for err and what it wraps, depth first as errors.As goes, at most left times.
func walk(err error, left *int, visit func(error)) {
	if err == nil || *left <= 0 {
		return
	}
	*left--
	visit(err)
	switch x := err.(type) {
	case interface{ Unwrap() error }:
		walk(x.Unwrap(), left, visit)
	case interface{ Unwrap() []error }:
		for _, e := range x.Unwrap() {
			walk(e, left, visit)
		}
	}
}

// same compares two errors as == does, and says no where a type is not comparable.
func same(a, b error) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && reflect.TypeOf(a).Comparable() && a == b
}

// revive makes the error of a task of what travelled. What this process does not know stays text.
func revive(r *wire.ErrorRecord) error {
	e := &remoteError{text: r.Text}
	known.mu.RLock()
	defer known.mu.RUnlock()
	for i := range min(len(r.Typed), maxTyped) {
		if t := known.types[r.Typed[i].Name]; t != nil {
			if v, err := t.Decode(r.Typed[i].Data); err == nil {
				e.chain = append(e.chain, v)
			}
		}
	}
	for _, n := range r.Known {
		if s := known.byName[n]; s != nil {
			e.chain = append(e.chain, s)
		}
	}
	return e
}
