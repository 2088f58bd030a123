package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/sched"
)

// travel is an error's way through a message.
func travel(t *testing.T, p *Process, err error) error {
	t.Helper()
	var r wire.ErrorRecord
	if e := wire.Unmarshal(p.record(err, "main.f").Append(nil), &r); e != nil {
		t.Fatal(e)
	}
	return failure(&r)
}

func TestErrorsTravel(t *testing.T) {
	p := &Process{self: id.Addr{Node: "node-of-the-test", Proc: 7}, pid: 42}
	same := []error{
		&WorkerDiedError{Func: "main.f", Node: "n", Why: "killed"},
		&WorkerStartError{Text: "no main"},
		&ActorDiedError{Actor: id.Actor{1}, Why: "killed", MayRan: true},
		&ObjectLostError{Object: id.Object{1}, Why: "gone"},
		&OutOfMemoryError{Want: 3, Used: 2, Capacity: 1, Text: "full"},
		&UnschedulableError{Text: "no GPU"},
		&UnavailableError{Text: "no answer"},
		&VersionSkewError{Text: "1 and 2"},
	}
	for _, err := range same {
		if got := travel(t, p, err); !reflect.DeepEqual(got, err) {
			t.Errorf("%#v came as %#v", err, got)
		}
	}
	if err := travel(t, p, &sched.CancelledError{Cause: context.DeadlineExceeded}); !errors.Is(err, ErrCancelled) || !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled task came as %v", err)
	}
	if err := travel(t, p, ErrClosed); !errors.Is(err, ErrClosed) {
		t.Errorf("ErrClosed came as %v", err)
	}
}

func TestTaskErrorTravels(t *testing.T) {
	p := &Process{self: id.Addr{Node: "node-of-the-test", Proc: 7}, pid: 42}
	cause := fmt.Errorf("reading: %w", errors.Join(io.ErrUnexpectedEOF, fs.ErrNotExist))
	err := travel(t, p, &TaskError{Func: "main.g", Cause: cause, Stack: "stack"})
	var te *TaskError
	if !errors.As(err, &te) || te.Func != "main.g" || te.Stack != "stack" || te.Node != p.self.Node || te.PID != 42 {
		t.Fatalf("came as %#v", err)
	}
	if te.Cause.Error() != cause.Error() {
		t.Errorf("text %q, was %q", te.Cause, cause)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || !errors.Is(err, fs.ErrNotExist) || errors.Is(err, io.EOF) {
		t.Errorf("sentinels of %v", err)
	}
	again := travel(t, p, err) // a failure that is passed on says where it happened first
	if !errors.As(again, &te) || te.Func != "main.g" || !errors.Is(again, fs.ErrNotExist) {
		t.Errorf("second journey: %#v", again)
	}
}

func TestLongErrorIsCut(t *testing.T) {
	p := &Process{}
	err := travel(t, p, errors.New(strings.Repeat("x", 1<<20)))
	if n := len(err.Error()); n > 64<<10 {
		t.Errorf("%d bytes", n)
	}
}

func TestPanicsAreTaskErrors(t *testing.T) {
	f, fn := &Future{}, &Func{Result: intType}
	fn.Run.Name = "main.f"
	f.InitCall(fn, nil)
	var te *TaskError
	err := f.explain(&sched.PanicError{Value: "boom", Stack: []byte("here")})
	if !errors.As(err, &te) || te.Stack != "here" || !strings.Contains(err.Error(), "main.f: panic: boom") {
		t.Errorf("%v", err)
	}
	if err := f.explain(&sched.PanicError{Value: io.EOF}); !errors.Is(err, io.EOF) {
		t.Errorf("a panic with an error: %v", err)
	}
	if err := f.explain(sched.ErrGoexit); !errors.As(err, &te) || !errors.Is(err, sched.ErrGoexit) {
		t.Errorf("%v", err)
	}
}
