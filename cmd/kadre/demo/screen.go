package demo

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kadrehq/kadre/internal/words"
)

// screen prints the show.
type screen struct {
	w        io.Writer
	terminal bool
	drawn    int       // runes of the line that will be drawn again
	at       time.Time // when a line was drawn last
}

// How often progress is shown: on a terminal, where a line is drawn again, and elsewhere.
const (
	drawEvery = 150 * time.Millisecond
	sayEvery  = time.Second
)

func (s *screen) line(format string, args ...any) {
	s.erase()
	fmt.Fprintf(s.w, "  "+format+"\n", args...)
}

func (s *screen) title(format string, args ...any) {
	s.erase()
	fmt.Fprintf(s.w, "\n"+format+"\n", args...)
}

func (s *screen) erase() {
	if s.drawn > 0 {
		fmt.Fprintf(s.w, "\r%s\r", strings.Repeat(" ", s.drawn))
	}
	s.drawn = 0
}

// draw replaces the line that was drawn before; where there is no terminal it prints one now and then.
func (s *screen) draw(line string) {
	every := sayEvery
	if s.terminal {
		every = drawEvery
	}
	if time.Since(s.at) < every {
		return
	}
	s.at = time.Now()
	if !s.terminal {
		fmt.Fprintln(s.w, line)
		return
	}
	n := utf8.RuneCountInString(line)
	fmt.Fprintf(s.w, "\r%s%s", line, strings.Repeat(" ", max(0, s.drawn-n)))
	s.drawn = n
}

func (s *screen) step(name, call, result string) {
	s.line("%-22s %-26s %s", name, call, result)
}

func (s *screen) nodes(c *cluster, took time.Duration) {
	for i, m := range c.nodes {
		note := ""
		if i == 0 {
			note = "   this program is attached here"
		}
		s.line("%s  %s  process %d  served after %s%s", m.Name, short(string(m.ID)), m.PID, brief(m.Took), note)
	}
	s.line("each knew the others, through the runtime folder, %s after the first start", brief(took))
}

// progress draws how far the word count is and how many map tasks each node has done.
func (s *screen) progress(c *cluster, r Report, groups int) {
	var b strings.Builder
	fmt.Fprintf(&b, "  read %*d/%d  count %*d/%d  merge %*d/%d ", width(groups), r.finished(stageRead, ""), groups,
		width(groups), r.finished(stageCount, ""), groups, width(groups), r.finished(stageMerge, ""), groups-1)
	for _, m := range c.nodes {
		fmt.Fprintf(&b, "  %s %-10s", m.Name, bar(r.finished(stageCount, m.ID), groups, 10))
	}
	s.draw(strings.TrimRight(b.String(), " "))
}

// outcome prints which node ran what.
func (s *screen) outcome(c *cluster, o outcome) {
	const wide = 24
	most := 1
	ran := func(m *member) (n int) {
		for _, stage := range []string{stageRead, stageCount, stageMerge} {
			n += o.report.finished(stage, m.ID)
		}
		return n
	}
	for _, m := range c.nodes {
		most = max(most, ran(m))
	}
	s.line("%-4s %-*s %5s %5s %5s   %-12s %s", "node", wide, "tasks", "read", "count", "merge", "steals in/out", "bytes in/out")
	for _, m := range c.nodes {
		at := "killed"
		if k, ok := o.moved[m]; ok {
			at = fmt.Sprintf("%-13s %s", fmt.Sprintf("%d/%d", k.Steals.TasksIn, k.Steals.TasksOut), mebibytes(k.Bytes.In)+"/"+mebibytes(k.Bytes.Out))
		}
		s.line("%-4s %-*s %5d %5d %5d   %s", m.Name, wide, bar(ran(m), most, wide), o.report.finished(stageRead, m.ID),
			o.report.finished(stageCount, m.ID), o.report.finished(stageMerge, m.ID), at)
	}
	s.line("first table after %s, all words after %s", brief(o.first), brief(o.took))
}

// top prints the ten most frequent words.
func (s *screen) top(t words.Table) error {
	const wide = 40
	top, err := words.Top(t, 10)
	if err != nil {
		return err
	}
	for _, w := range top {
		s.line("%8d  %-*s %s", w.N, wide, bar(w.N, top[0].N, wide), w.Text)
	}
	return nil
}

// bar is n of most, width runes at most, at least a sliver where n is not 0.
func bar(n, most, width int) string {
	if n <= 0 || most <= 0 {
		return ""
	}
	eighths := max(1, n*width*8/most)
	b := strings.Repeat("█", eighths/8)
	if part := eighths % 8; part > 0 {
		b += string(rune('█' + 8 - part)) // ▏ is the thinnest, seven below the full block
	}
	return b
}

func width(n int) int { return len(fmt.Sprint(n)) }

// short is the end of a node's name.
func short(s string) string {
	if len(s) > 8 {
		return "…" + s[len(s)-8:]
	}
	return s
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// brief prints a time with the digits that matter to people.
func brief(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
