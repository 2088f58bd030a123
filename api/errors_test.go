package api_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/api"
)

var (
	errQuota  = errors.New("quota used up")
	errSecond = errors.New("second of its line")
	errSecret = errors.New("not registered")
)

// rangeError is registered as a pointer, codeError as a value; plainError is not registered.
type (
	rangeError struct {
		At    int
		Of    []string
		Inner string
	}
	codeError  int
	plainError struct{ N int }
)

func (e *rangeError) Error() string      { return fmt.Sprintf("%d is outside of %v", e.At, e.Of) }
func (e codeError) Error() string        { return fmt.Sprintf("code %d", int(e)) }
func (e codeError) Is(target error) bool { return target == fs.ErrExist && e == 17 }
func (e *plainError) Error() string      { return "plain" }

func init() {
	api.RegisterError(errQuota, errSecond)
	api.RegisterErrorType[*rangeError]()
	api.RegisterErrorType[codeError]()
}

var failAsFunc = api.Func1(failAs)

// failAs returns an error of the kind asked for.
func failAs(_ context.Context, kind string) (int, error) {
	switch kind {
	case "sentinel":
		return 0, errQuota
	case "wrapped":
		return 0, fmt.Errorf("step 3: %w", fmt.Errorf("deeper: %w", errSecond))
	case "typed":
		return 0, &rangeError{At: 9, Of: []string{"a", "b"}}
	case "value":
		return 0, fmt.Errorf("exit: %w", codeError(17))
	case "joined":
		return 0, errors.Join(codeError(3), &rangeError{At: 1}, errQuota, os.ErrNotExist)
	case "nil pointer":
		var e *rangeError
		return 0, wrapper{e}
	case "endless":
		return 0, endless{}
	case "unknown":
		return 0, fmt.Errorf("%w and %w", errSecret, &plainError{1})
	}
	panic("unknown kind")
}

// wrapper wraps what its text must not touch.
type wrapper struct{ error }

func (wrapper) Error() string   { return "wrapped nil" }
func (w wrapper) Unwrap() error { return w.error }

// endless wraps two more of itself, without end.
type endless struct{}

func (endless) Error() string   { return "endless" }
func (endless) Unwrap() []error { return []error{codeError(5), deeper{}, deeper{}} }

type deeper struct{ d int }

func (d deeper) Error() string { return "deeper" }
func (d deeper) Unwrap() error {
	if d.d > 10000 {
		return nil
	}
	return deeper{d.d + 1}
}

// checkChains looks at errors that get brings from where failAs ran, by kind: what was wrapped is found in them.
func checkChains(t *testing.T, get func(kind string) error) {
	t.Helper()
	if err := get("sentinel"); !errors.Is(err, errQuota) || errors.Is(err, errSecond) {
		t.Errorf("sentinel: %v", err)
	}
	if err := get("wrapped"); !errors.Is(err, errSecond) || errors.Is(err, errQuota) || !strings.HasSuffix(err.Error(), "step 3: deeper: second of its line") {
		t.Errorf("wrapped: %v", err)
	}
	var r *rangeError
	if err := get("typed"); !errors.As(err, &r) || r.At != 9 || len(r.Of) != 2 || r.Of[1] != "b" {
		t.Errorf("typed: %v, %+v", err, r)
	}
	var code codeError
	if err := get("value"); !errors.As(err, &code) || code != 17 || !errors.Is(err, fs.ErrExist) {
		t.Errorf("value: %v, %d", err, code)
	}
	r, code = nil, 0
	if err := get("joined"); !errors.As(err, &r) || r.At != 1 || !errors.As(err, &code) || code != 3 ||
		!errors.Is(err, errQuota) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("joined: %v", err)
	}
}

func TestErrorsCross(t *testing.T) {
	c := startIsolated(t)
	get := func(kind string) error {
		t.Helper()
		_, err := failAsFunc.Remote(c, kind).Get(c)
		var task *api.TaskError
		if !errors.As(err, &task) || !strings.HasSuffix(task.Func, "failAs") {
			t.Fatalf("%s: %v is no TaskError of failAs", kind, err)
		}
		if task.PID == os.Getpid() || task.PID == 0 {
			t.Fatalf("%s: it did not cross: pid %d", kind, task.PID)
		}
		return err
	}
	checkChains(t, get)
	var r *rangeError
	var code codeError
	r = &rangeError{}
	if err := get("nil pointer"); !errors.As(err, &r) || r != nil {
		t.Errorf("nil pointer: %v, %v", err, r)
	}
	code = 0
	if err := get("endless"); !errors.As(err, &code) || code != 5 {
		t.Errorf("endless: %v", err)
	}
	var plain *plainError
	if err := get("unknown"); errors.Is(err, errSecret) || errors.As(err, &plain) || !strings.Contains(err.Error(), "not registered and plain") {
		t.Errorf("unknown: %v", err)
	}
}

func TestErrorsThatCannotBeRegistered(t *testing.T) {
	c := start(t)
	_ = c
	for name, f := range map[string]func(){
		"after Init":      func() { api.RegisterError(errSecret) },
		"type after Init": func() { api.RegisterErrorType[*plainError]() },
	} {
		if err := panicOf(f); err == nil || !strings.Contains(err.Error(), "after Init") || !strings.Contains(err.Error(), "errors_test.go:") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
