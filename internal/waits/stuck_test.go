package waits

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// row makes one that waits: "a: b c" for both, "a: b|c" for one of them.
func row(s string) Row {
	key, rest, _ := strings.Cut(s, ": ")
	r := Row{Key: key, Func: key, State: Waiting, Wait: 1, Proc: "p"}
	sep := " "
	if strings.Contains(rest, "|") {
		sep, r.Need = "|", 1
	}
	for t := range strings.SplitSeq(rest, sep) {
		if t == "+" {
			r.More++
		} else {
			r.For = append(r.For, Target{Key: t, Func: t})
		}
	}
	if r.Need == 0 {
		r.Need = len(r.For) + r.More
	}
	return r
}

func rows(lines ...string) (rs []Row) {
	for _, l := range lines {
		rs = append(rs, row(l))
	}
	return rs
}

func TestStuck(t *testing.T) {
	for _, c := range []struct {
		rows []Row
		want string // keys of each cycle
	}{
		{nil, ""},
		{rows("a: b"), ""},
		{rows("a: b", "b: a"), "a b"},
		{rows("a: a"), "a"},
		{rows("a: b", "b: c", "c: d"), ""},
		{rows("x: a", "a: b", "b: c", "c: a"), "a b c"},
		{rows("a: b|live", "b: a"), ""},
		{rows("a: b live", "b: a"), "a b"},
		{rows("a: b|c", "b: a", "c: a"), "a b"},
		{rows("a: b|+", "b: a"), ""},
		{rows("a: b", "b: a", "c: d", "d: c", "e: a"), "a b, c d"},
		{rows("a: b|c", "b: a", "c: d", "d: live"), ""},
	} {
		var got []string
		for _, c := range Stuck(c.rows) {
			var keys []string
			for _, r := range c.Rows {
				keys = append(keys, r.Key)
			}
			slices.Sort(keys)
			got = append(got, strings.Join(keys, " "))
		}
		if s := strings.Join(got, ", "); s != c.want {
			t.Errorf("%v: cycles %q, want %q", c.rows, s, c.want)
		}
	}
}

// TestRandomGraphs compares with an obvious answer: let everybody who can go on go on, one at a time, in any order.
func TestRandomGraphs(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(9)
		var rs []Row
		for i := range n {
			if r.IntN(4) == 0 {
				continue // it runs
			}
			w := Row{Key: fmt.Sprint(i), State: Waiting, Proc: "p", Wait: 1}
			for range 1 + r.IntN(3) {
				w.For = append(w.For, Target{Key: fmt.Sprint(r.IntN(n))})
			}
			w.Need = 1 + r.IntN(len(w.For))
			rs = append(rs, w)
		}
		over := map[string]bool{}
		waits := map[string]Row{}
		for _, w := range rs {
			waits[w.Key] = w
		}
		for again := true; again; {
			again = false
			for i := range n {
				k := fmt.Sprint(i)
				w, ok := waits[k]
				done := 0
				for _, t := range w.For {
					if over[t.Key] {
						done++
					}
				}
				if !over[k] && (!ok || done >= w.Need) {
					over[k], again = true, true
				}
			}
		}
		cycles := Stuck(rs)
		if stuck := len(over) < n; stuck != (len(cycles) > 0) {
			t.Fatalf("seed %d: %d of %d end, and %d cycles", seed, len(over), n, len(cycles))
		}
		for _, c := range cycles {
			for i, w := range c.Rows {
				if over[w.Key] {
					t.Fatalf("seed %d: %s is in a cycle and can go on", seed, w.Key)
				}
				if next := c.Rows[(i+1)%len(c.Rows)].Key; !slices.ContainsFunc(w.For, func(t Target) bool { return t.Key == next }) {
					t.Fatalf("seed %d: %s does not wait for %s", seed, w.Key, next)
				}
			}
		}
	}
}

func TestConfirmed(t *testing.T) {
	first := Stuck(rows("a: b", "b: a", "c: d", "d: c"))
	again := rows("a: b", "b: a", "c: d", "d: c")
	again[3].Wait = 2 // d has gone on and waits anew
	sure := Confirmed(first, Stuck(again))
	if len(sure) != 1 || sure[0].Rows[0].Key != "a" {
		t.Errorf("%v is certain", sure)
	}
	if v, ok := sure[0].Victim(); !ok || v.Key != "a" {
		t.Errorf("victim %v", v)
	}
	if got := strings.Join(sure[0].Chain("b"), "; "); got != "b waits for a; a waits for b" {
		t.Errorf("chain %q", got)
	}
}

func TestChains(t *testing.T) {
	rs := rows("a: b", "b: c", "c: a")
	rs = append(rs, Row{Key: "d", Func: "d", State: Running}, row("e: d"), row("f: g"))
	for i, want := range map[int]string{
		0: "waits for b, which is waiting\n  waits for c, which is waiting\n    waits for a, which is in this chain already",
		4: "waits for d, which is running",
		5: "waits for g",
	} {
		if got := strings.Join(Chains(rs, &rs[i]), "\n"); got != want {
			t.Errorf("chain of %s:\n%s", rs[i].Key, got)
		}
	}
}

func TestCompact(t *testing.T) {
	var rs []Row
	for i := range 1000 {
		r := Row{Key: fmt.Sprint(i), Func: fmt.Sprint("f", i%3), State: Queued}
		if i%100 == 0 {
			r.State = Waiting
		}
		if i%50 == 1 {
			r.State = Running
		}
		rs = append(rs, r)
	}
	for _, most := range []int{10, 100, 500, 1000} {
		got, tasks := Compact(slices.Clone(rs), most), 0
		for _, r := range got {
			tasks += r.Tasks()
		}
		if tasks != 1000 || len(got) > max(most, 20) {
			t.Errorf("at most %d: %d rows of %d tasks", most, len(got), tasks)
		}
	}
}

func TestBest(t *testing.T) {
	got := Best([]Row{{Key: "b", Sure: 1}, {Key: "a", Sure: 0}, {Key: "b", Sure: 2}, {Key: "", Func: "x"}, {Key: "", Func: "y"}})
	if len(got) != 4 || got[2].Key != "a" || got[3].Sure != 2 {
		t.Errorf("%+v", got)
	}
}
