package proc

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/sched"
)

// standstillNames is how many functions a line about a standstill names.
const standstillNames = 3

// standstill logs that none of the queued tasks has begun for long: in the driver, or on a worker's standard error, which goes
// to the driver.
func (p *Process) standstill(e *sched.Engine, long time.Duration) {
	queued, running := tally{}, tally{}
	e.EachQueued(func(t *sched.Task, n int) { queued.add(t, n) })
	for _, r := range e.Runs() {
		running.add(r.Task, 1)
	}
	p.log.Warn("kadre: tasks wait", "why", standstillLine(long, queued, running, e.Stats(), p.self.Node.Short(), p.pid))
}

func standstillLine(long time.Duration, queued, running tally, s sched.Stats, node string, pid int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "none of %d queued tasks of process %d on node %s has begun for %v: %s", queued.sum(), pid, node, long.Round(time.Second), queued)
	if s.Running < s.Slots {
		b.WriteString("; other processes have CPUs of this node that it could use")
	}
	if len(running) > 0 {
		fmt.Fprintf(&b, "; meanwhile it runs %s", running)
	}
	return b.String()
}

// tally counts tasks by their functions.
type tally map[string]int

func (l tally) add(t *sched.Task, n int) {
	if f := t.Func(); f != nil {
		l[f.Name] += n
	}
}

func (l tally) sum() (n int) {
	for _, k := range l {
		n += k
	}
	return n
}

// String names those that there are most of.
func (l tally) String() string {
	names := slices.SortedFunc(maps.Keys(l), func(a, b string) int { return cmp.Or(l[b]-l[a], strings.Compare(a, b)) })
	var parts []string
	for i, f := range names {
		if i == standstillNames {
			parts = append(parts, "and others")
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%d)", f, l[f]))
	}
	return strings.Join(parts, ", ")
}
