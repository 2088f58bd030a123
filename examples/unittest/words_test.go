package unittest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// TestMain lets this test binary serve as a worker process.
func TestMain(m *testing.M) {
	api.RunWorker()
	m.Run()
}

func TestLongest(t *testing.T) { // no runtime: a task function is a function
	for text, want := range map[string]string{"a bb c": "bb", "  one  ": "one", "two six": "two"} {
		if got, err := longest(t.Context(), text); got != want || err != nil {
			t.Errorf("longest(%q) = %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := longest(t.Context(), " "); !errors.Is(err, ErrEmpty) {
		t.Errorf("longest of nothing: %v", err)
	}
}

func TestLongestOf(t *testing.T) { // everything together, on a node inside of this process
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rt, err := api.Init(ctx, api.Embedded(), api.NumCPUs(2))
	if err != nil {
		t.Fatal(err)
	}
	defer rt.Close()
	ctx = rt.With(ctx)

	got, err := LongestOf(ctx, []string{"to be", "or not to be", "that is the question"})
	if got != "question" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := LongestOf(ctx, []string{"fine", ""}); !errors.Is(err, ErrEmpty) {
		t.Errorf("a text without words: %v", err)
	}
}
