package node

import (
	"fmt"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	// reasonAfter is how long a task waits for a resource until its driver is told why, and reasonCPU where it is CPU alone,
	// which is what a busy node lacks. After that it is told each time that it has waited twice as long.
	reasonAfter = 5 * time.Second
	reasonCPU   = 30 * time.Second
	// maxReasons bounds the lines of one look, and reasonNames what one line names.
	maxReasons  = 16
	reasonNames = 3
)

// tellReasons tells drivers why the first of each shape waits: the others of it wait for the same.
func (n *Node) tellReasons(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	told := 0
	for _, s := range n.place.shapes {
		e := s.queue[0]
		waited := now.Sub(e.since)
		if waited < max(reasonAfter, e.reason) || told == maxReasons {
			continue
		}
		row := n.resourceRowLocked(e)
		if e.reason == 0 && waited < reasonCPU && onlyCPU(e) {
			continue
		}
		e.reason = 2 * waited
		told++
		line := n.reasonLineLocked(e, row.Why, waited, len(s.queue)-1)
		n.log.Debug("node: a task waits", "why", line)
		n.tell(n.driverLocked(e), wire.KNote, wire.Marshal(&wire.LogLine{Job: e.spec.Job, Func: e.spec.Func, Node: n.id, Line: line}))
	}
}

// onlyCPU says that CPU is all of what a task lacks.
func onlyCPU(e *errand) bool {
	for _, a := range e.need {
		if a.name != cpuName && !e.pool.fits(a, 0) {
			return false
		}
	}
	return e.group == nil
}

// driverLocked is who is told about an errand: the driver of its job, else the process that submitted it.
func (n *Node) driverLocked(e *errand) id.Addr {
	if j := n.jobs[e.spec.Job]; j != nil && !j.desc.Driver.IsZero() {
		return j.desc.Driver
	}
	return e.spec.Owner
}

// reasonLineLocked says in words why a task waits, and who has what it waits for.
func (n *Node) reasonLineLocked(e *errand, why string, waited time.Duration, more int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s waits %v on node %s for %s", e.spec.Func, waited.Round(time.Second), n.id.Short(), why)
	for _, a := range e.need {
		if e.pool.fits(a, 0) {
			continue
		}
		for i, h := range n.holdersLocked(e.pool, a.name) {
			sep := ", "
			if i == 0 {
				sep = "; " + a.name + " is in use by "
			}
			if i == reasonNames {
				b.WriteString(" and others")
				break
			}
			b.WriteString(sep + h.spec.Func)
			if h.pid != 0 {
				fmt.Fprintf(&b, " (process %d)", h.pid)
			}
		}
	}
	if more > 0 {
		fmt.Fprintf(&b, "; %d more of its kind wait behind it", more)
	}
	return b.String()
}
