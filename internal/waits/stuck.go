package waits

import (
	"fmt"
	"slices"
	"strings"
)

// Cycle is a ring of rows: each waits for the next, the last for the first.
type Cycle struct {
	Rows []Row
	at   []int // which target of a row the next one is
}

// Stuck finds the cycles of rows that can never go on: among all that wait, those for whose targets there is no way
// to be done. Each row is in one cycle at most.
func Stuck(rows []Row) []Cycle {
	stuck := map[string]*Row{}
	for i := range rows {
		if r := &rows[i]; r.Key != "" && r.State == Waiting && r.Wait != 0 && len(r.For) > 0 {
			stuck[r.Key] = r
		}
	}
	for again := true; again; {
		again = false
		for k, r := range stuck {
			if r.goesOn(stuck) {
				delete(stuck, k)
				again = true
			}
		}
	}
	keys := make([]string, 0, len(stuck))
	for k := range stuck {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var cycles []Cycle
	seen := map[string]bool{}
	for _, k := range keys {
		if c, ok := ring(stuck, k, seen); ok {
			cycles = append(cycles, c)
		}
	}
	return cycles
}

// goesOn says whether enough targets of r are not stuck.
func (r *Row) goesOn(stuck map[string]*Row) bool {
	live := r.More
	for _, t := range r.For {
		if stuck[t.Key] == nil {
			live++
		}
	}
	return live >= r.Need
}

// ring follows stuck targets from a row until it comes to one that it has passed.
func ring(stuck map[string]*Row, from string, seen map[string]bool) (c Cycle, ok bool) {
	place := map[string]int{}
	for k := from; ; {
		if i, again := place[k]; again {
			return Cycle{c.Rows[i:], c.at[i:]}, true
		}
		if seen[k] {
			return c, false // it leads into a ring that is known
		}
		seen[k] = true
		r := stuck[k]
		i := slices.IndexFunc(r.For, func(t Target) bool { return stuck[t.Key] != nil })
		place[k] = len(c.Rows)
		c.Rows, c.at = append(c.Rows, *r), append(c.at, i)
		k = r.For[i].Key
	}
}

// Confirmed gives those of the cycles of two looks that are certain: whose waits are the same in both.
func Confirmed(first, second []Cycle) (sure []Cycle) {
	known := map[string]bool{}
	for i := range first {
		known[first[i].mark()] = true
	}
	for i := range second {
		if known[second[i].mark()] {
			sure = append(sure, second[i])
		}
	}
	return sure
}

// mark names a cycle by its waits.
func (c *Cycle) mark() string {
	var waits []string
	for i := range c.Rows {
		waits = append(waits, fmt.Sprintf("%s %d %s", c.Rows[i].Key, c.Rows[i].Wait, c.Rows[i].For[c.at[i]].Key))
	}
	slices.Sort(waits)
	return strings.Join(waits, "\n")
}

// Victim is the row whose wait is to end with an error: of those that can be ended the one of the least key, so that
// whoever sees the cycle chooses the same; false where there is none.
func (c *Cycle) Victim() (Row, bool) {
	var v *Row
	for i := range c.Rows {
		r := &c.Rows[i]
		if r.Proc != "" && (v == nil || r.Key < v.Key) {
			v = r
		}
	}
	if v == nil {
		return Row{}, false
	}
	return *v, true
}

// Chain tells the cycle, from a row on: one line for each wait.
func (c *Cycle) Chain(from string) (lines []string) {
	first := max(0, slices.IndexFunc(c.Rows, func(r Row) bool { return r.Key == from }))
	n := len(c.Rows)
	for k := range n {
		i := (first + k) % n
		lines = append(lines, fmt.Sprintf("%s %s %s", c.Rows[i].name(), c.Rows[i].waits(c.at[i]), c.Rows[(i+1)%n].name()))
	}
	return lines
}

// Chains tells for a row what it waits for, and what that waits for, down to what does not wait; at most
// maxChain lines.
func Chains(rows []Row, from *Row) (lines []string) {
	byKey := map[string]*Row{}
	for i := range rows {
		if rows[i].Key != "" {
			byKey[rows[i].Key] = &rows[i]
		}
	}
	seen := map[string]bool{}
	var tell func(r *Row, depth int)
	tell = func(r *Row, depth int) {
		seen[r.Key] = true
		for i, t := range r.For {
			if len(lines) >= maxChain {
				return
			}
			next := byKey[t.Key]
			what := t.Func
			if next != nil {
				what = next.name()
			}
			line := fmt.Sprintf("%s%s %s", strings.Repeat("  ", depth), r.waits(i), what)
			switch {
			case next == nil:
				lines = append(lines, line)
			case seen[t.Key]:
				lines = append(lines, line+", which is in this chain already")
			case next.Why != "":
				lines = append(lines, line+", which waits for "+next.Why)
			default:
				lines = append(lines, line+", which is "+next.State)
			}
			if next != nil && !seen[t.Key] {
				tell(next, depth+1)
			}
		}
	}
	tell(from, 0)
	return lines
}

// maxChain bounds the lines of a chain.
const maxChain = 32
