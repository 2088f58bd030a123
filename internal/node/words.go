package node

import (
	"strings"

	"github.com/kadrehq/kadre/internal/wire"
)

const (
	// endedByGo is how a process ends that Go itself ends: after a panic, a fatal error, or without memory.
	endedByGo = "exit status 2"
	// lastWrote comes before a worker's last words.
	lastWrote = "its standard error ends with:\n"

	tailSize = 4 << 10 // bytes of standard error that a worker's end is explained with
)

// words are what a worker wrote last on its standard error, and what Go wrote if it ended the program: its first line says
// why, and the stacks below may be long.
type words struct {
	tail []byte
	end  []byte // from the last line on that may be such a first line
}

// add takes a line.
func (w *words) add(line []byte) {
	w.tail = append(w.tail, line...)
	if over := len(w.tail) - tailSize; over > 0 {
		w.tail = append(w.tail[:0], w.tail[over:]...)
	}
	first := dyingWords(string(line))
	if first {
		w.end = w.end[:0]
	}
	if first || len(w.end) > 0 {
		w.end = append(w.end, line[:min(len(line), tailSize-len(w.end))]...)
	}
}

// text gives them; byGo says that Go ended the program.
func (w *words) text(byGo bool) string {
	last := w.tail
	if byGo && len(w.end) > 0 {
		last = w.end
	}
	return strings.ToValidUTF8(strings.TrimRight(string(last), "\n"), "?")
}

// dyingWords says whether a line is one with which Go begins to tell why it ends the program.
func dyingWords(line string) bool {
	return strings.HasPrefix(line, "fatal error: ") || strings.HasPrefix(line, "panic: ")
}

// noMemory says whether such a line is about memory that the system did not give.
func noMemory(line string) bool {
	return strings.HasPrefix(line, "fatal error: ") && (strings.Contains(line, "out of memory") || strings.Contains(line, "cannot allocate memory"))
}

func firstLine(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return first
}

// explainLocked says how a worker ended that nobody ended, in one line, and below it what it wrote last.
func (n *Node) explainLocked(w *worker, how, tail string) string {
	if tail == "" {
		return how
	}
	if first := firstLine(tail); dyingWords(first) {
		if how += ": " + first; w.capped > 0 && w.last != nil && noMemory(first) {
			how = w.last.ranOut(n.place.total[wire.Memory]/1e6) + "; " + first
		}
	}
	return how + "\n" + lastWrote + tail
}
