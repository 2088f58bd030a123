package api_test

import (
	"errors"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// laters gives for every name of a later release what using it comes to.
func laters(c ctx) map[string]error {
	got := map[string]error{}
	for name, o := range classLater {
		got[name] = cl0.Options(o).Remote(c).Ready(c)
	}
	_, got["Replicas"] = api.Put(c, 1, api.Replicas(2))
	got["Checkpoint"] = api.Checkpoint(c)
	return got
}

func panicOf(f func()) (err error) {
	defer func() {
		switch v := recover().(type) {
		case error:
			err = v
		case string:
			err = errors.New(v)
		}
	}()
	f()
	return nil
}

func TestWhatComesLaterSaysSo(t *testing.T) {
	got := laters(start(t))
	for name, err := range got {
		if want := "kadre: " + name + " is not available yet: it comes with a later release"; !errors.Is(err, api.ErrLater) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: %v, not %q", name, err, want)
		}
	}
}

// TestWhatComesLaterIsListed compares the table in later.go, and that of the README, with the code.
func TestWhatComesLaterIsListed(t *testing.T) {
	code := map[string]bool{}
	for _, f := range sources(t) {
		for _, m := range regexp.MustCompile(`(?:later|notYet)\("(\w+)"\)`).FindAllStringSubmatch(f, -1) {
			code[m[1]] = true
		}
	}
	src, err := os.ReadFile("later.go")
	if err != nil {
		t.Fatal(err)
	}
	table := map[string]bool{}
	for _, line := range strings.Split(string(src), "\n") {
		if names, ok := strings.CutPrefix(line, "//\t"); ok {
			for _, n := range regexp.MustCompile(`\w+`).FindAllString(names, -1) {
				table[n] = true
			}
		}
	}
	if !maps.Equal(code, table) {
		t.Errorf("later.go lists\n%v, the code has\n%v", slices.Sorted(maps.Keys(table)), slices.Sorted(maps.Keys(code)))
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for n := range code {
		if !regexp.MustCompile(`\b` + n + `\b`).Match(readme) {
			t.Errorf("the README does not say that %s comes later", n)
		}
	}
}

func sources(t *testing.T) (all []string) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if n := e.Name(); strings.HasSuffix(n, ".go") && !strings.HasSuffix(n, "_test.go") {
			b, err := os.ReadFile(n)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, string(b))
		}
	}
	return all
}
