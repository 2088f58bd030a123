package api_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// endsOnce ends its process as it is told, unless it did so before.
func endsOnce(ctx context.Context, how, dir string) (int, error) {
	if _, err := os.Stat(filepath.Join(dir, "ended")); err == nil {
		return 3, nil
	}
	note(dir, "ended")
	switch how {
	case "exit":
		fmt.Fprintln(os.Stderr, "there is no config.toml")
		os.Exit(7)
	case "panic":
		go func() { panic("boom beside the task") }()
	case "map":
		m := map[int]int{}
		for range 4 {
			go func() {
				for i := 0; ; i++ {
					m[i%8] = i
				}
			}()
		}
	case "mutex":
		var mu sync.Mutex
		mu.Unlock()
	case "stack":
		return callsItself(1), nil
	case "memory":
		b := make([]byte, 2<<30)
		for i := 0; i < len(b); i += os.Getpagesize() {
			b[i] = 1
		}
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

func callsItself(n int) int {
	var pad [64]int
	pad[n%64] = n
	//lint:ignore SA5007 it is there to overflow its stack
	return callsItself(n+1) + pad[(n+1)%64]
}

var endings = api.Func2(endsOnce)

// TestEndsOfWorkers ends workers in all ways that Go knows: the error has what the worker wrote last, a task that may runs
// again, and so do others that ran beside it.
func TestEndsOfWorkers(t *testing.T) {
	if testing.Short() {
		t.Skip("starts worker processes")
	}
	t.Setenv("KADRE_ISOLATE", "1")
	c := start(t, api.LogToDriver(false), api.Resources(map[string]float64{"memory": 1 << 30}))
	c, cancel := context.WithTimeout(context.WithoutCancel(c), 6*within)
	defer cancel()
	for how, want := range map[string]string{
		"exit":   "there is no config.toml",
		"panic":  "panic: boom beside the task",
		"map":    "fatal error: concurrent map",
		"mutex":  "fatal error: sync: unlock of unlocked mutex",
		"stack":  "fatal error: stack overflow",
		"memory": "memory",
	} {
		dir, beside := t.TempDir(), t.TempDir()
		held := rulesReleased.Remote(c, beside)
		must(0, noted(c, beside, "began"))(t)
		_, err := endings.Options(api.MaxRetries(0)).Remote(c, how, dir).Get(c)
		var died *api.WorkerDiedError
		if !errors.As(err, &died) || died.Func != "github.com/kadrehq/kadre/api_test.endsOnce" || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "exit status") && how != "memory" {
			t.Errorf("%s: %v", how, err)
		}
		must(0, os.Remove(filepath.Join(dir, "ended")))(t)
		if v, err := endings.Options(api.MaxRetries(1)).Remote(c, how, dir).Get(c); v != 3 || err != nil {
			t.Errorf("%s, with a retry: %d, %v", how, v, err)
		}
		note(beside, "go")
		if v, err := held.Get(c); v != 7 || err != nil {
			t.Errorf("%s: a task beside gives %d, %v", how, v, err)
		}
	}
}
