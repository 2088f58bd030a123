package demo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
)

// Table is how often words occur: for every word, in the order of their bytes, its length, the word and
// its count, both numbers as varints. It is one run of bytes, so that it travels as it is, and two are
// merged in one pass.
type Table []byte

// words gives the words of a text: the runs of bytes between ASCII white space.
func words(text []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		start := -1
		for i, c := range text {
			switch {
			case space[c] && start >= 0:
				if !yield(text[start:i]) {
					return
				}
				start = -1
			case !space[c] && start < 0:
				start = i
			}
		}
		if start >= 0 {
			yield(text[start:])
		}
	}
}

var space = [256]bool{' ': true, '\t': true, '\n': true, '\v': true, '\f': true, '\r': true}

// countWords adds the words of a text to counts. The map tasks and the sequential check both call it.
func countWords(counts map[string]int, text []byte) {
	for w := range words(text) {
		counts[string(w)]++
	}
}

// tableOf writes counts down.
func tableOf(counts map[string]int) Table {
	var t Table
	for _, w := range slices.Sorted(maps.Keys(counts)) {
		t = appendWord(t, []byte(w), uint64(counts[w]))
	}
	return t
}

func appendWord(t Table, word []byte, n uint64) Table {
	t = binary.AppendUvarint(t, uint64(len(word)))
	t = append(t, word...)
	return binary.AppendUvarint(t, n)
}

var errTable = errors.New("demo: table of words is damaged")

// cursor reads a table from its start.
type cursor struct {
	rest Table
	word []byte
	n    uint64
	err  error
}

// next steps to the next word; at the end, or where the table is damaged, it gives false.
func (c *cursor) next() bool {
	if len(c.rest) == 0 {
		return false
	}
	size, a := binary.Uvarint(c.rest)
	if a <= 0 || size > uint64(len(c.rest)-a) {
		c.rest, c.err = nil, errTable
		return false
	}
	c.word, c.rest = c.rest[a:a+int(size)], c.rest[a+int(size):]
	n, b := binary.Uvarint(c.rest)
	if b <= 0 {
		c.rest, c.err = nil, errTable
		return false
	}
	c.n, c.rest = n, c.rest[b:]
	return true
}

// mergeTables adds two tables up.
func mergeTables(a, b Table) (Table, error) {
	sum := make(Table, 0, len(a)+len(b))
	x, y := cursor{rest: a}, cursor{rest: b}
	inX, inY := x.next(), y.next()
	for inX || inY {
		order := 0
		switch {
		case !inY:
			order = -1
		case !inX:
			order = 1
		default:
			order = bytes.Compare(x.word, y.word)
		}
		switch {
		case order < 0:
			sum = appendWord(sum, x.word, x.n)
		case order > 0:
			sum = appendWord(sum, y.word, y.n)
		default:
			sum = appendWord(sum, x.word, x.n+y.n)
		}
		if order <= 0 {
			inX = x.next()
		}
		if order >= 0 {
			inY = y.next()
		}
	}
	return sum, errors.Join(x.err, y.err)
}

// wordCount is a word and how often it occurs.
type wordCount struct {
	Word string
	N    int
}

// topWords gives the k most frequent words, the most frequent first; equals in the order of their bytes.
func topWords(t Table, k int) ([]wordCount, error) {
	var all []wordCount
	c := cursor{rest: t}
	for c.next() {
		if len(all) == 2*k { // keeps the list short
			slices.SortFunc(all, byCount)
			all = all[:k]
		}
		all = append(all, wordCount{string(c.word), int(c.n)})
	}
	slices.SortFunc(all, byCount)
	return all[:min(k, len(all))], c.err
}

func byCount(a, b wordCount) int {
	return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Word, b.Word))
}

// differences compares a table with a map of counts and tells up to limit words on which they disagree.
func differences(t Table, counts map[string]int, limit int) ([]string, error) {
	var out []string
	seen := 0
	c := cursor{rest: t}
	for c.next() {
		n, ok := counts[string(c.word)]
		if ok {
			seen++
		}
		if uint64(n) != c.n && len(out) < limit {
			out = append(out, fmt.Sprintf("%q: the cluster counted %d, the sequential count %d", c.word, c.n, n))
		}
	}
	if c.err != nil || seen == len(counts) {
		return out, c.err
	}
	missing := maps.Clone(counts)
	for c := (cursor{rest: t}); c.next(); {
		delete(missing, string(c.word))
	}
	for _, w := range slices.Sorted(maps.Keys(missing)) {
		if len(out) == limit {
			break
		}
		out = append(out, fmt.Sprintf("%q: the cluster counted 0, the sequential count %d", w, missing[w]))
	}
	return out, nil
}
