package proc

import (
	"fmt"
	"strings"
	"testing"
)

// mustPanic gives the text of f's panic.
func mustPanic(t *testing.T, f func()) (text string) {
	t.Helper()
	defer func() {
		r := recover()
		if r == nil {
			t.Error("no panic")
		}
		text = fmt.Sprint(r)
	}()
	f()
	return ""
}

func TestRegistry(t *testing.T) {
	t.Cleanup(func() {
		registry.Lock()
		defer registry.Unlock()
		registry.closed = false
		delete(registry.byName, "test.registry")
	})
	f := &Func{Where: "a.go:1"}
	f.Run.Name = "test.registry"
	Register(f)
	if got, err := lookup("test.registry"); got != f || err != nil {
		t.Fatal(got, err)
	}
	if !registered(&f.Run) {
		t.Error("its tasks are not known")
	}
	g := &Func{Where: "b.go:2"}
	g.Run.Name = "test.registry"
	if s := mustPanic(t, func() { Register(g) }); !strings.Contains(s, "a.go:1") || !strings.Contains(s, "b.go:2") {
		t.Errorf("the panic does not say where both are: %s", s)
	}
	if _, err := lookup("test.unknown"); err == nil || !strings.Contains(err.Error(), "test.unknown") {
		t.Errorf("unknown function: %v", err)
	}
	closeRegistry()
	h := &Func{Where: "c.go:3"}
	h.Run.Name = "test.late"
	if s := mustPanic(t, func() { Register(h) }); !strings.Contains(s, "after Init") || !strings.Contains(s, "c.go:3") {
		t.Errorf("late registration: %s", s)
	}
}
