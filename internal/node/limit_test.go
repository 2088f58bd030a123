package node

import (
	"strings"
	"testing"
	"time"
)

func TestJudge(t *testing.T) {
	const mib = 1 << 20
	w := func(used, limit int64, retrying bool) weighed {
		return weighed{used: used * mib, limit: limit * mib, names: []string{"f"}, retrying: retrying}
	}
	for _, c := range []struct {
		name   string
		ws     []weighed
		budget int64
		asked  bool
		ends   string // a letter for each: e or -
		says   string
		room   []int64 // MiB; -1: unbounded
		next   time.Duration
	}{
		{name: "nobody takes much", ws: []weighed{w(10, 0, true), w(20, 0, true)}, budget: 2000, ends: "--", room: []int64{-1, -1}, next: memoryLook},
		{name: "what was asked for bounds all", ws: []weighed{w(10, 0, true), w(20, 50, true)}, budget: 1000, asked: true, ends: "--",
			room: []int64{1098, 94}, next: 94 * time.Second / 8192},
		{name: "little is left", ws: []weighed{w(1060, 0, true)}, budget: 1000, asked: true, ends: "-", room: []int64{4}, next: memoryHaste},
		{name: "more than it said", ws: []weighed{w(115, 50, true), w(5, 0, true)}, budget: 1000, ends: "e-", says: "it took 115 MiB of memory, and the HeapMemory of f is 50 MiB",
			room: []int64{-1, -1}, next: memoryLook},
		{name: "more than all may", ws: []weighed{w(300, 0, false), w(600, 0, true), w(500, 0, true)}, budget: 1000, asked: true, ends: "-e-",
			says: `the workers of the node took 1.4 GiB of memory, and may take 1000 MiB (its resource "memory"): of those whose tasks can run again this one, with f, took most: 600 MiB`,
			room: []int64{392, 0, 392}, next: 392 * time.Second / 8192},
		{name: "one that is small is spared", ws: []weighed{w(3, 0, true), w(1200, 0, false)}, budget: 1000, ends: "-e", says: "this one, with f, took most: 1.2 GiB",
			room: []int64{-1, -1}, next: memoryLook},
		{name: "none runs again", ws: []weighed{w(900, 0, false), w(700, 0, false)}, budget: 1000, ends: "e-", room: []int64{-1, -1}, next: 428 * time.Second / 8192},
	} {
		j := judge(c.ws, c.budget*mib, c.asked)
		for i := range c.ws {
			if (j.ends[i] != "") != (c.ends[i] == 'e') || j.ends[i] != "" && !strings.Contains(j.ends[i], c.says) {
				t.Errorf("%s: worker %d: %q", c.name, i, j.ends[i])
			}
			room := int64(-1)
			if j.room[i] != unbounded {
				room = j.room[i] / mib
			}
			if j.ends[i] == "" && room != c.room[i] {
				t.Errorf("%s: worker %d may take %d MiB more", c.name, i, room)
			}
		}
		if d := j.next - c.next; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("%s: again in %v, want %v", c.name, j.next, c.next)
		}
	}
}

func TestLastWords(t *testing.T) {
	for _, c := range []struct {
		wrote []string
		byGo  bool
		want  string
	}{
		{[]string{"one", "two"}, false, "one\ntwo"},
		{[]string{"one", "fatal error: out of memory", "", "stack"}, true, "fatal error: out of memory\n\nstack"},
		{[]string{"panic: as it says", "but goes on", "usage: x"}, false, "panic: as it says\nbut goes on\nusage: x"},
		{[]string{"panic: not the last", "panic: the last", "goroutine 1"}, true, "panic: the last\ngoroutine 1"},
		{[]string{"no such line"}, true, "no such line"},
		{nil, true, ""},
	} {
		var w words
		for _, l := range c.wrote {
			w.add([]byte(l + "\n"))
		}
		if got := w.text(c.byGo); got != c.want {
			t.Errorf("%q gives %q", c.wrote, got)
		}
	}
	var w words
	w.add([]byte("fatal error: all goroutines are asleep\n"))
	for range 1000 {
		w.add([]byte("goroutine 1 [running]:\n"))
	}
	if s := w.text(true); len(s) > tailSize || !strings.HasPrefix(s, "fatal error: ") {
		t.Errorf("%d bytes: %.40q", len(s), s)
	}
	if s := w.text(false); len(s) > tailSize || strings.Contains(s, "fatal error: ") || !strings.HasSuffix(s, "[running]:") {
		t.Errorf("%d bytes: %.40q", len(s), s)
	}
}
