package main

import (
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxCell   = 64 // characters of a cell that is not the last of its row
	columnGap = "  "
)

// table says how rows are listed for people: all lists are printed by it, and look alike.
type table[T any] []column[T]

// column is what one cell of each row tells.
type column[T any] struct {
	head  string
	right bool // numbers end below each other
	cell  func(*T) string
}

func text[T any](head string, cell func(*T) string) column[T] { return column[T]{head, false, cell} }

func number[T any](head string, cell func(*T) string) column[T] { return column[T]{head, true, cell} }

func count[T any](head string, cell func(*T) int) column[T] {
	return number(head, func(r *T) string { return strconv.Itoa(cell(r)) })
}

// write prints the heads and the rows.
func (t table[T]) write(w io.Writer, rows []T) error {
	lines := make([][]string, 1, len(rows)+1)
	for _, c := range t {
		lines[0] = append(lines[0], c.head)
	}
	for i := range rows {
		line := make([]string, len(t))
		for k := range t {
			line[k] = cellText(t[k].cell(&rows[i]), k == len(t)-1)
		}
		lines = append(lines, line)
	}
	wide := make([]int, len(t))
	for _, line := range lines {
		for k, cell := range line {
			wide[k] = max(wide[k], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, line := range lines {
		for k, cell := range line {
			pad := strings.Repeat(" ", wide[k]-utf8.RuneCountInString(cell))
			switch {
			case t[k].right:
				b.WriteString(pad + cell)
			case k == len(t)-1:
				b.WriteString(cell)
			default:
				b.WriteString(cell + pad)
			}
			if k < len(t)-1 {
				b.WriteString(columnGap)
			}
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// cellText is a value as it stands in a table: something, on one line, and not too wide. Of what is too wide the end
// is kept, which tells functions of one package apart.
func cellText(s string, last bool) string {
	if s == "" {
		return "-"
	}
	if q := strconv.Quote(s); strings.ContainsAny(s, "\n\r\t\x1b") || !utf8.ValidString(s) {
		s = q
	}
	if n := utf8.RuneCountInString(s); n > maxCell && !last {
		r := []rune(s)
		s = "…" + string(r[n-maxCell+1:])
	}
	return s
}
