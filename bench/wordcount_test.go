package bench

import (
	"testing"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/words"
)

// TestWordcount counts the words of this package in both ways; the reference tells a difference.
func TestWordcount(t *testing.T) {
	rt, err := api.Init(t.Context(), api.Embedded())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := rt.Close(); err != nil {
			t.Error(err)
		}
	}()
	c, err := words.Find(t.Context(), ".")
	if err != nil {
		t.Fatal(err)
	}
	run, err := countSides(rt.With(t.Context()), c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run.Ref(t.Context(), 1); err == nil {
		t.Error("the reference does not tell that nothing was counted")
	}
	if _, err := run.Ours(rt.With(t.Context()), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Ref(t.Context(), 1); err != nil {
		t.Error(err)
	}
	if n, _ := run.Extra["words"].(int); n < 1000 || run.Extra["files"] != c.Files {
		t.Error(run.Extra)
	}
}
