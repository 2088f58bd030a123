package api_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// callDead gives the error of a call on an actor, within one of its own.
func callDead(ctx context.Context, a api.Actor[counter]) (int, error) {
	n, err := increment.Remote(ctx, a).Get(ctx)
	if err != nil {
		err = fmt.Errorf("calling it: %w", err)
	}
	return n, err
}

var callDeadFunc = api.Func1(callDead)

// TestErrorsOfTheRuntimeCross finds what a task got from the runtime in the error of that task, wherever it ran.
func TestErrorsOfTheRuntimeCross(t *testing.T) {
	for _, f := range []*api.RemoteFunc1[api.Actor[counter], int]{callDeadFunc, callDeadFunc.Options(api.OwnProcess())} {
		if f != callDeadFunc && testing.Short() {
			t.Skip("starts worker processes")
		}
		c := start(t)
		a := newCounter.Remote(c)
		must(increment.Remote(c, a).Get(c))(t)
		if err := a.Kill(c); err != nil {
			t.Fatal(err)
		}
		_, err := f.Remote(c, a).Get(c)
		var (
			task *api.TaskError
			died *api.ActorDiedError
		)
		if !errors.As(err, &task) || !errors.As(err, &died) || api.ActorID(died.Actor) != a.ID() || died.MayRan {
			t.Errorf("in a process of its own %t: %v", f != callDeadFunc, err)
		}
	}
}
