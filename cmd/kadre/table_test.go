package main

import (
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	type row struct {
		name string
		n    int
		rest string
	}
	cols := table[row]{
		text("name", func(r *row) string { return r.name }),
		count("tasks", func(r *row) int { return r.n }),
		text("waits for", func(r *row) string { return r.rest }),
	}
	long := strings.Repeat("x", 200)
	var b strings.Builder
	if err := cols.write(&b, []row{{"über", 7, ""}, {"a\tb\n", 12345, long}, {long + "end", 0, "z"}}); err != nil {
		t.Fatal(err)
	}
	wide := "…" + strings.Repeat("x", 60) + "end"
	pad := func(s string) string { return s + strings.Repeat(" ", 64-len([]rune(s))) }
	want := strings.Join([]string{
		pad("name") + "  tasks  waits for",
		pad("über") + "      7  -",
		pad(`"a\tb\n"`) + "  12345  " + long,
		pad(wide) + "      0  z",
		"",
	}, "\n")
	if b.String() != want {
		t.Errorf("it prints\n%s\nand not\n%s", b.String(), want)
	}
}
