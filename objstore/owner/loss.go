package owner

import (
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
)

// Cause says why an object cannot be made again.
type Cause uint8

// The causes.
const (
	CauseFreed   Cause = iota // there is no record of it: nobody referred to it any more
	CauseOnce                 // nothing made it that runs again
	CauseLineage              // the specification of its task had to go
	CauseOften                // it was made again MaxRemakes times
	CauseFailed               // its task, or what it came with, failed
	CauseOther                // its task ran again and did not make it, or not the same
)

// Loss is why an object is lost.
type Loss struct {
	Cause  Cause
	Object id.Object // what the cause is of: itself, or an argument that is gone too and that making it again would take
	Last   id.Node   // where the last copy of Object was; "" where that is not known
}

var causes = [...]string{
	CauseFreed:   "its owner has freed it",
	CauseOnce:    "what made it does not run again: it was put, or a method of an actor made it, or a task on its way that did not return it",
	CauseLineage: fmt.Sprintf("its task cannot run again: the specifications of more than %d MiB of later tasks took the place of its own", maxLineage>>20),
	CauseOften:   fmt.Sprintf("it was made again %d times already", MaxRemakes),
	CauseFailed:  "its task failed when it ran again",
	CauseOther:   "its task ran again and did not make it again, or made something else",
}

// Of tells why the object o is lost, for people.
func (l Loss) Of(o id.Object) string {
	why := "unknown"
	if int(l.Cause) < len(causes) {
		why = causes[l.Cause]
	}
	if l.Cause != CauseFreed {
		where := ""
		if l.Last != "" {
			where = ", on node " + l.Last.Short() + ","
		}
		why = fmt.Sprintf("its last copy%s is gone, and %s", where, why)
	}
	if l.Object == o || l.Object == (id.Object{}) {
		return why
	}
	return fmt.Sprintf("its last copy is gone, and its task cannot run again without the object %v: %s", l.Object, why)
}

// lossOf is why a record of the chain that making an object again would take ends it; false where it does not.
func (r *record) lossOf(o id.Object) (Loss, bool) {
	l := Loss{Object: o, Last: r.last}
	switch {
	case r.state == StateLost:
		return *r.loss, true
	case r.state == StateFailed:
		l.Cause = CauseFailed
	case r.dropped:
		l.Cause = CauseLineage
	case !r.remakeable:
		l.Cause = CauseOnce
	case r.remakes >= MaxRemakes:
		l.Cause = CauseOften
	default:
		return l, false
	}
	return l, true
}

// left takes a node out of those with a copy.
func (r *record) left(n id.Node) {
	if remove(&r.holders, func(h id.Node) bool { return h == n }) && len(r.holders) == 0 {
		r.last = n
	}
}
