package words

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func count(text string) map[string]int {
	m := map[string]int{}
	Count(m, []byte(text))
	return m
}

func TestWordsAreBetweenASCIIWhiteSpace(t *testing.T) {
	for text, want := range map[string][]string{
		"":                         nil,
		" \t\n\v\f\r":              nil,
		"one":                      {"one"},
		"a b\tc\nd\ve\ff\rg":       {"a", "b", "c", "d", "e", "f", "g"},
		"  two  words ":            {"two", "words"},
		"no\u00a0break\u2003space": {"no\u00a0break\u2003space"}, // not ASCII: bytes.Fields would split here
		"nul\x00in \x85word":       {"nul\x00in", "\x85word"},
	} {
		var got []string
		for w := range words([]byte(text)) {
			got = append(got, string(w))
		}
		if !slices.Equal(got, want) {
			t.Errorf("words of %q are %q, want %q", text, got, want)
		}
	}
	for w := range words([]byte("stop here")) {
		if string(w) != "stop" {
			t.Errorf("went on after a break: %q", w)
		}
		break
	}
}

func TestMergeAgreesWithAMap(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		text := func() string {
			var b strings.Builder
			for range r.IntN(40) {
				fmt.Fprintf(&b, "w%d ", r.IntN(30))
			}
			return b.String()
		}
		a, b := text(), text()
		sum, err := Merge(TableOf(count(a)), TableOf(count(b)))
		if err != nil {
			t.Fatal(err)
		}
		want := count(a + " " + b)
		if !slices.Equal(sum, TableOf(want)) {
			t.Fatalf("merging %q and %q differs from counting both", a, b)
		}
		if d, err := Differences(sum, want, 3); err != nil || len(d) > 0 {
			t.Fatalf("differences %v, %v", d, err)
		}
	}
}

func TestTableIsInTheOrderOfBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	counts := map[string]int{}
	for range 3000 {
		w := make([]byte, 1+r.IntN(12))
		for i := range w {
			w[i] = "\x00\x01ab\xff"[r.IntN(5)]
		}
		counts[string(w)] = 1 + r.IntN(300)
	}
	var got []string
	c := cursor{rest: TableOf(counts)}
	for c.next() {
		got = append(got, string(c.word))
		if counts[string(c.word)] != int(c.n) {
			t.Fatalf("%q: %d", c.word, c.n)
		}
	}
	if c.err != nil || !slices.Equal(got, slices.Sorted(maps.Keys(counts))) {
		t.Fatalf("%d words of %d in another order, %v", len(got), len(counts), c.err)
	}
}

func TestDifferencesAreTold(t *testing.T) {
	d, err := Differences(TableOf(map[string]int{"same": 1, "more": 3, "extra": 1}), map[string]int{"same": 1, "more": 2, "lost": 4}, 10)
	if err != nil || len(d) != 3 {
		t.Fatalf("Differences %q, %v", d, err)
	}
	if d, _ := Differences(nil, map[string]int{"a": 1, "b": 1, "c": 1}, 2); len(d) != 2 {
		t.Errorf("the limit of 2 gives %q", d)
	}
}

func TestTopWords(t *testing.T) {
	counts := map[string]int{"b": 5, "a": 5, "c": 9}
	for i := range 50 {
		counts[fmt.Sprint("rare", i)] = 1
	}
	top, err := Top(TableOf(counts), 3)
	if want := []Word{{"c", 9}, {"a", 5}, {"b", 5}}; err != nil || !slices.Equal(top, want) {
		t.Errorf("top is %v, %v; want %v", top, err, want)
	}
	if top, _ := Top(TableOf(map[string]int{"x": 1}), 10); len(top) != 1 {
		t.Errorf("top of one word is %v", top)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte(TableOf(map[string]int{"a": 1, "bc": 300})), []byte{})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, []byte{1})
	f.Add([]byte{2, 'a'}, []byte{1, 'a', 0x80})
	f.Fuzz(func(t *testing.T, a, b []byte) {
		if _, err := Merge(a, b); err != nil && !errors.Is(err, errTable) {
			t.Fatal(err)
		}
		Top(a, 3)
		Differences(a, map[string]int{"a": 1}, 3)
	})
}

func TestCorpusIsTheRegularGoFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"a.go": "one two", "sub/b.go": "two three", "sub/_c.go": "four", "d.txt": "no", "e.go.bak": "no", ".go": "five"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "folder.go"), 0o755), os.Symlink("a.go", filepath.Join(dir, "link.go"))); err != nil {
		t.Fatal(err)
	}
	c, err := find(t.Context(), dir, 12)
	if err != nil {
		t.Fatal(err)
	}
	if c.Files != 4 || c.Bytes != 4+7+4+9 || len(c.Groups) != 3 {
		t.Errorf("corpus is %+v", c)
	}
	seq, err := CountAll(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if want := map[string]int{"one": 1, "two": 2, "three": 1, "four": 1, "five": 1}; !maps.Equal(seq, want) {
		t.Errorf("counts are %v, want %v", seq, want)
	}
	grouped := map[string]int{}
	for _, g := range c.Groups {
		text, err := ReadGroup(g.Paths)
		if err != nil {
			t.Fatal(err)
		}
		Count(grouped, text)
	}
	if !maps.Equal(seq, grouped) {
		t.Errorf("the groups have %v, the files %v", grouped, seq)
	}
}

func TestNoCorpus(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "missing")} {
		if _, err := Find(t.Context(), dir); err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("corpus %s gives %v", dir, err)
		}
	}
}

func TestCorpusLinkedFolder(t *testing.T) {
	dir, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "a.go"), []byte("x"), 0o644), os.Symlink(dir, link)); err != nil {
		t.Fatal(err)
	}
	if c, err := Find(t.Context(), link); err != nil || c.Files != 1 {
		t.Errorf("%+v, %v", c, err)
	}
}
