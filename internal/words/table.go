package words

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

// Count adds the words of a text to counts. The map tasks and the sequential check both call it.
func Count(counts map[string]int, text []byte) {
	for w := range words(text) {
		counts[string(w)]++
	}
}

// TableOf writes counts down.
func TableOf(counts map[string]int) Table {
	all := make([]entry, 0, len(counts))
	size := 0
	for w, n := range counts {
		all = append(all, entry{prefix(w), w, n})
		size += len(w) + 2
	}
	slices.SortFunc(all, func(a, b entry) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return cmp.Compare(a.word, b.word)
	})
	t := make(Table, 0, size)
	for i := range all {
		t = appendWord(t, all[i].word, uint64(all[i].n))
	}
	return t
}

// entry is a word that is sorted, with its first bytes beside it: most comparisons end there and do not leave the list.
type entry struct {
	first uint64
	word  string
	n     int
}

// prefix is a word's first 8 bytes as a number that is ordered as they are.
func prefix(w string) (p uint64) {
	if len(w) >= 8 {
		return binary.BigEndian.Uint64([]byte(w[:8]))
	}
	for i := range len(w) {
		p |= uint64(w[i]) << (56 - 8*i)
	}
	return p
}

func appendWord[W string | []byte](t Table, word W, n uint64) Table {
	t = binary.AppendUvarint(t, uint64(len(word)))
	t = append(t, word...)
	return binary.AppendUvarint(t, n)
}

var errTable = errors.New("words: table is damaged")

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

// Merge adds two tables up.
func Merge(a, b Table) (Table, error) {
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

// Word is a word and how often it occurs.
type Word struct {
	Text string
	N    int
}

// Top gives the k most frequent words, the most frequent first; equals in the order of their bytes.
func Top(t Table, k int) ([]Word, error) {
	var all []Word
	c := cursor{rest: t}
	for c.next() {
		if len(all) == 2*k { // keeps the list short
			slices.SortFunc(all, byCount)
			all = all[:k]
		}
		all = append(all, Word{string(c.word), int(c.n)})
	}
	slices.SortFunc(all, byCount)
	return all[:min(k, len(all))], c.err
}

func byCount(a, b Word) int {
	return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Text, b.Text))
}

// Differences compares a table with a map of counts and tells up to limit words on which they disagree.
func Differences(t Table, counts map[string]int, limit int) ([]string, error) {
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
