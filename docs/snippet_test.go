package docs

import (
	"bufio"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A snippet is a piece of Go in a page.
type snippet struct {
	page  string
	line  int
	lines []string
}

// pages are the documents that people read.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(list, "../README.md")
}

func snippets(t *testing.T, page string) (all []snippet) {
	t.Helper()
	var in *snippet
	for i, l := range lines(t, page) {
		switch {
		case in == nil && l == "```go":
			in = &snippet{page: page, line: i + 2}
		case in != nil && l == "```":
			all = append(all, *in)
			in = nil
		case in != nil:
			in.lines = append(in.lines, l)
		}
	}
	if in != nil {
		t.Fatalf("%s:%d: the piece of Go does not end", page, in.line)
	}
	return all
}

// lines gives a file's lines without what surrounds them.
func lines(t *testing.T, path string) (out []string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		out = append(out, strings.TrimSpace(sc.Text()))
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSnippetsStandInExamples makes sure that what pages show is compiled: as a part of a program.
func TestSnippetsStandInExamples(t *testing.T) {
	sources, err := filepath.Glob("../examples/*/*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	var programs [][]string
	for _, s := range sources {
		programs = append(programs, lines(t, s))
	}
	found := 0
	for _, page := range pages(t) {
		for _, s := range snippets(t, page) {
			found++
			if !slices.ContainsFunc(programs, func(p []string) bool { return contains(p, s.lines) }) {
				t.Errorf("%s:%d: this piece of Go stands in no file of examples", s.page, s.line)
			}
		}
	}
	if found < 15 {
		t.Errorf("found only %d pieces of Go", found)
	}
}

// contains says whether part is a run of lines of whole.
func contains(whole, part []string) bool {
	for i := 0; i+len(part) <= len(whole); i++ {
		if slices.Equal(whole[i:i+len(part)], part) {
			return true
		}
	}
	return false
}

// place is a file that a page names, and the functions that it says are in it.
var (
	place    = regexp.MustCompile("`((?:[a-z0-9_]+/)+[a-z0-9_]+\\.go)`(?:\\s*\\(((?:`\\w+`[,\\s]*)+)\\)|:\\s*((?:`\\w+`[,\\s]*)+))?")
	function = regexp.MustCompile("`(\\w+)`")
)

func TestFilesAndFunctionsExist(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		text := strings.Join(lines(t, page), "\n")
		for _, m := range place.FindAllStringSubmatch(text, -1) {
			found++
			source, err := os.ReadFile(filepath.Join("..", m[1]))
			if err != nil {
				t.Errorf("%s names %s, which is not there", page, m[1])
				continue
			}
			for _, f := range function.FindAllStringSubmatch(m[2]+m[3], -1) {
				if !regexp.MustCompile(`(?m)^func (\([^)]*\) )?` + f[1] + `[\[(]`).Match(source) {
					t.Errorf("%s says that %s has a function %s", page, m[1], f[1])
				}
			}
		}
	}
	if found < 40 {
		t.Errorf("found only %d files", found)
	}
}

var link = regexp.MustCompile(`\]\(([^)# ]+)(#[^) ]*)?\)`)

func TestLinksLead(t *testing.T) {
	for _, page := range pages(t) {
		for i, l := range lines(t, page) {
			for _, m := range link.FindAllStringSubmatch(l, -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				if _, err := os.Stat(filepath.Join(filepath.Dir(page), m[1])); err != nil {
					t.Errorf("%s:%d: the link %s leads nowhere", page, i+1, m[1])
				}
			}
		}
	}
}

// TestStatusTableIsHonest compares README's table of what is missing with what api says is missing.
func TestStatusTableIsHonest(t *testing.T) {
	missing := regexp.MustCompile(`(?:later|notYet)\("([A-Za-z]+)"\)`)
	sources, err := filepath.Glob("../api/*.go")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, s := range sources {
		if strings.HasSuffix(s, "_test.go") {
			continue
		}
		b, err := os.ReadFile(s)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range missing.FindAllStringSubmatch(string(b), -1) {
			names[m[1]] = true
		}
	}
	b, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, ok := strings.Cut(string(b), "## What is not there yet")
	if !ok {
		t.Fatal("README.md has no section about what is not there yet")
	}
	table, _, _ = strings.Cut(table, "\n## ")
	for name := range names {
		if !strings.Contains(table, "`"+name+"`") {
			t.Errorf("api says that %s is not available yet; README's table does not", name)
		}
	}
	said := regexp.MustCompile("`([A-Z][A-Za-z]+)`").FindAllStringSubmatch(table, -1)
	for _, m := range said {
		if !names[m[1]] {
			t.Errorf("README's table says that %s is not there yet; api does not", m[1])
		}
	}
	if len(names) < 5 {
		t.Errorf("found only %v", names)
	}
}
