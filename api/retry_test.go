package api_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// flaky fails until it has been tried so often; each try leaves a file.
func flaky(ctx context.Context, dir string, good int) (int, error) {
	n := tries(dir) + 1
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(n)), nil, 0o600); err != nil {
		return 0, err
	}
	if n < good {
		return 0, fmt.Errorf("try %d: %w", n, errQuota)
	}
	return n, nil
}

func tries(dir string) int {
	l, _ := os.ReadDir(dir)
	return len(l)
}

// slow waits, for its context as well if it listens.
func slow(ctx context.Context, d time.Duration, listens bool) (string, error) {
	if !listens {
		time.Sleep(d) // a function that does not look at its context
		return "done", nil
	}
	select {
	case <-time.After(d):
		return "in time", nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// hang notes that it runs, and then that its context has ended.
func hang(ctx context.Context, note string) (int, error) {
	os.WriteFile(note, []byte("runs"), 0o600)
	<-ctx.Done()
	os.WriteFile(note, []byte("ended"), 0o600)
	return 1, nil
}

// deaf does not look at its context.
func deaf(ctx context.Context, note string) (int, error) {
	os.WriteFile(note, []byte("runs"), 0o600)
	for {
		time.Sleep(time.Second)
	}
}

// moody is an actor whose method fails until it has been called so often.
type moody struct {
	calls int
	order []int
}

func newMoody(context.Context) (*moody, error) { return &moody{}, nil }

func (m *moody) Try(ctx context.Context, good int) ([]byte, error) {
	if m.calls++; m.calls < good {
		return nil, fmt.Errorf("call %d: %w", m.calls, errQuota)
	}
	return make([]byte, good*100<<10), nil
}

func (m *moody) Note(ctx context.Context, n int) ([]int, error) {
	m.order = append(m.order, n)
	return m.order, nil
}

type napper struct{}

func newNapper(context.Context) (*napper, error) { return &napper{}, nil }
func (*napper) Nap(ctx context.Context, d time.Duration) (string, error) {
	return slow(ctx, d, true)
}

var (
	flakyFunc      = api.Func2(flaky)
	slowFunc       = api.Func2(slow)
	hangFunc       = api.Func1(hang)
	deafFunc       = api.Func1(deaf)
	newMoodyClass  = api.Class0(newMoody)
	tryMethod      = api.Method1((*moody).Try)
	noteMethod     = api.Method1((*moody).Note)
	newNapperClass = api.Class0(newNapper)
	napMethod      = api.Method1((*napper).Nap)
)

func TestRetryErrors(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		var asked atomic.Int32
		onQuota := api.RetryErrors(func(err error) bool { asked.Add(1); return errors.Is(err, errQuota) })
		if n, err := flakyFunc.Options(onQuota).Remote(c, t.TempDir(), 3).Get(c); n != 3 || err != nil || asked.Load() != 2 {
			t.Errorf("two retries: %d, %v, asked %d times", n, err, asked.Load())
		}
		dir := t.TempDir()
		if _, err := flakyFunc.Options(onQuota, api.MaxRetries(1)).Remote(c, dir, 5).Get(c); !errors.Is(err, errQuota) || tries(dir) != 2 {
			t.Errorf("MaxRetries(1): %v after %d tries", err, tries(dir))
		}
		dir = t.TempDir()
		not := api.RetryErrors(func(err error) bool { return false })
		if _, err := flakyFunc.Options(not).Remote(c, dir, 5).Get(c); !errors.Is(err, errQuota) || tries(dir) != 1 {
			t.Errorf("not wanted: %v after %d tries", err, tries(dir))
		}
		dir = t.TempDir()
		panics := api.RetryErrors(func(err error) bool { panic("no") })
		if _, err := flakyFunc.Options(panics).Remote(c, dir, 5).Get(c); !errors.Is(err, errQuota) || tries(dir) != 1 {
			t.Errorf("a function that panics: %v after %d tries", err, tries(dir))
		}
		if _, err := flakyFunc.Options(api.RetryErrors(nil)).Remote(c, dir, 5).Get(c); err == nil {
			t.Error("RetryErrors(nil) is taken")
		}
		// In the pause before a retry its context ends.
		pausing, cancel := context.WithCancel(c)
		first := make(chan struct{}, 9)
		ref := flakyFunc.Options(api.MaxRetries(9), api.RetryErrors(func(error) bool { first <- struct{}{}; return true })).Remote(pausing, t.TempDir(), 99)
		<-first
		cancel()
		if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) {
			t.Errorf("cancelled between two tries: %v", err)
		}
	})
}

func TestRetryErrorsOfMethods(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		var asked atomic.Int32
		onQuota := api.RetryErrors(func(err error) bool { asked.Add(1); return errors.Is(err, errQuota) })
		a := newMoodyClass.Remote(c)
		if b, err := tryMethod.Options(onQuota).Remote(c, a, 3).Get(c); len(b) != 300<<10 || err != nil || asked.Load() != 2 {
			t.Errorf("two retries: %d bytes, %v, asked %d times", len(b), err, asked.Load())
		}
		if b, err := tryMethod.Remote(c, a, 4).Get(c); len(b) != 400<<10 || err != nil {
			t.Errorf("the next call: %d bytes, %v", len(b), err)
		}
		a = newMoodyClass.Remote(c)
		if _, err := tryMethod.Options(onQuota, api.MaxRetries(1)).Remote(c, a, 9).Get(c); !errors.Is(err, errQuota) {
			t.Errorf("MaxRetries(1): %v", err)
		}
		if b, err := tryMethod.Remote(c, a, 3).Get(c); len(b) != 300<<10 || err != nil {
			t.Errorf("after two calls: %d bytes, %v", len(b), err)
		}
		if _, err := tryMethod.Remote(c, newMoodyClass.Remote(c), 2).Get(c); !errors.Is(err, errQuota) {
			t.Errorf("without RetryErrors: %v", err)
		}
		noted := noteMethod.Options(onQuota)
		var last api.Ref[[]int]
		for i := range 20 { // calls that may have another attempt and others keep their order
			if i%2 == 0 {
				last = noted.Remote(c, a, i)
			} else {
				last = noteMethod.Remote(c, a, i)
			}
		}
		for i, n := range must(last.Get(c))(t) {
			if i != n {
				t.Errorf("call %d came as number %d", n, i)
			}
		}
		pausing, cancel := context.WithCancel(c)
		first := make(chan struct{}, 9)
		ref := tryMethod.Options(api.MaxRetries(9), api.RetryErrors(func(error) bool { first <- struct{}{}; return true })).Remote(pausing, newMoodyClass.Remote(c), 99)
		<-first
		cancel()
		if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) {
			t.Errorf("cancelled between two calls: %v", err)
		}
		slow := napMethod.Options(api.Timeout(10*time.Millisecond), api.MaxRetries(2), api.RetryErrors(func(err error) bool {
			asked.Add(1)
			return errors.Is(err, context.DeadlineExceeded)
		}))
		asked.Store(0)
		if _, err := slow.Remote(c, newNapperClass.Remote(c), time.Minute).Get(c); !errors.Is(err, context.DeadlineExceeded) || asked.Load() != 2 {
			t.Errorf("timed out and called again: %v, asked %d times", err, asked.Load())
		}
		k := newMoodyClass.Remote(c)
		ref = tryMethod.Options(onQuota, api.MaxRetries(99)).Remote(c, k, 99)
		must(0, k.Ready(c))(t)
		must(0, k.Kill(c))(t)
		var died *api.ActorDiedError
		if _, err := ref.Get(c); !errors.As(err, &died) {
			t.Errorf("the actor ends between two calls: %v", err)
		}
	})
}

func TestTimeout(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		for _, listens := range []bool{true, false} {
			_, err := slowFunc.Options(api.Timeout(20*time.Millisecond)).Remote(c, 3*time.Second, listens).Get(c)
			var task *api.TaskError
			if !errors.As(err, &task) || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, api.ErrCancelled) {
				t.Errorf("listens %v: %v", listens, err)
			}
		}
		if s, err := slowFunc.Options(api.Timeout(time.Minute)).Remote(c, time.Millisecond, true).Get(c); s != "in time" || err != nil {
			t.Errorf("in time: %q, %v", s, err)
		}
		var asked atomic.Int32
		again := api.RetryErrors(func(err error) bool { asked.Add(1); return errors.Is(err, context.DeadlineExceeded) })
		if _, err := slowFunc.Options(api.Timeout(10*time.Millisecond), again, api.MaxRetries(2)).Remote(c, time.Minute, true).Get(c); !errors.Is(err, context.DeadlineExceeded) || asked.Load() != 2 {
			t.Errorf("retried: %v, asked %d times", err, asked.Load())
		}
		a := newNapperClass.Remote(c)
		if _, err := napMethod.Options(api.Timeout(10*time.Millisecond)).Remote(c, a, time.Minute).Get(c); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a method: %v", err)
		}
		if s, err := napMethod.Remote(c, a, time.Millisecond).Get(c); s != "in time" || err != nil {
			t.Errorf("the next call: %q, %v", s, err)
		}
		if _, err := slowFunc.Options(api.Timeout(0)).Remote(c, 0, true).Get(c); err == nil {
			t.Error("Timeout(0) is taken")
		}
	})
}

func TestCancel(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		note := filepath.Join(t.TempDir(), "note")
		ref := hangFunc.Remote(c, note)
		awaitNote(t, c, note, "runs")
		if err := api.Cancel(c, ref); err != nil {
			t.Error(err)
		}
		if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) || !errors.Is(err, context.Canceled) {
			t.Errorf("Get: %v", err)
		}
		awaitNote(t, c, note, "ended")

		note = filepath.Join(t.TempDir(), "note")
		ctx, cancel := context.WithCancel(c)
		hangFunc.Remote(ctx, note)
		awaitNote(t, c, note, "runs")
		cancel()
		awaitNote(t, c, note, "ended") // the same by the context of the call

		done := must2(t, flakyFunc.Remote(c, t.TempDir(), 1))
		if err := api.Cancel(c, done); err != nil {
			t.Error(err)
		}
		if n, err := done.Get(c); n != 1 || err != nil {
			t.Errorf("cancelled when it was done: %d, %v", n, err)
		}
		if err := api.Cancel(c, api.Ref[int]{}); !errors.Is(err, api.ErrZero) {
			t.Errorf("Cancel of the zero Ref: %v", err)
		}
	})
}

// must2 waits for a ref and gives it.
func must2[T any](t *testing.T, r api.Ref[T]) api.Ref[T] {
	t.Helper()
	must(r.Get(context.Background()))(t)
	return r
}

func TestCancelQueued(t *testing.T) {
	c := start(t, api.NumCPUs(1))
	note := filepath.Join(t.TempDir(), "note")
	first := hangFunc.Remote(c, note)
	awaitNote(t, c, note, "runs")
	never := filepath.Join(t.TempDir(), "never")
	queued := hangFunc.Remote(c, never)
	if err := api.Cancel(c, queued); err != nil {
		t.Error(err)
	}
	if _, err := queued.Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Errorf("Get: %v", err)
	}
	api.Cancel(c, first)
	must2(t, slowFunc.Remote(c, 0, false)) // it had its turn
	if _, err := os.Stat(never); err == nil {
		t.Error("a task that was cancelled in the queue has run")
	}
}

func TestCancelByForce(t *testing.T) {
	if testing.Short() {
		t.Skip("waits out the grace")
	}
	c := start(t)
	note := filepath.Join(t.TempDir(), "note")
	ref := deafFunc.Options(api.OwnProcess()).Remote(c, note)
	awaitNote(t, c, note, "runs")
	if err := api.Cancel(c, ref, api.Force()); err != nil {
		t.Error(err)
	}
	if _, err := ref.Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Errorf("Get: %v", err)
	}
	// The process is given to no other task while the function hangs, and is gone soon.
	if n := must(flakyFunc.Options(api.OwnProcess()).Remote(c, t.TempDir(), 1).Get(c))(t); n != 1 {
		t.Errorf("the next task of a process of its own gives %d", n)
	}
}
