package main

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/waits"
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

// TestRowsHaveTheSameKeys writes rows with nothing in them as JSON: what programs look for is there, and no list is null.
func TestRowsHaveTheSameKeys(t *testing.T) {
	for _, rows := range []any{&[]nodeRow{{}}, &[]waits.Row{{}}, &[]waits.Actor{{}}, &[]node.JobStatus{{}}, &[]node.GroupStatus{{}},
		&[]node.ObjectStatus{{}}, &[]trace.Event{{}}} {
		fill(reflect.ValueOf(rows))
		b, err := json.Marshal(rows)
		if err != nil {
			t.Fatal(err)
		}
		var l []map[string]any
		if err := json.Unmarshal(b, &l); err != nil {
			t.Fatal(err)
		}
		for k, v := range l[0] {
			if v == nil {
				t.Errorf("%T: %s is null", rows, k)
			}
		}
		of := reflect.TypeOf(rows).Elem().Elem()
		for i := range of.NumField() {
			name, opts, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if _, ok := l[0][name]; !ok && name != "sure" {
				t.Errorf("%T: there is no %s (%s)", rows, name, opts)
			}
		}
	}
}
