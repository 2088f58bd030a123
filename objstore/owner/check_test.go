package owner

import (
	"fmt"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// check counts everything again, the slow way.
func (t *Table) check() error {
	needed, lineage := map[id.Object]int{}, map[id.Object]int{}
	lined, bytes := 0, int64(0)
	for o, r := range t.recs {
		if r.lined != (r.isResult() && r.kept() && r.remakeable && (r.state == StateReady || r.state == StateFreed)) {
			return fmt.Errorf("%v is %v and counts as lineage: %v", o, r.state, r.lined)
		}
		if r.lined {
			lined, bytes = lined+1, bytes+r.spec+lineageEach
			if !slices.Contains(t.lines.order, o) {
				return fmt.Errorf("%v is lineage and never given up", o)
			}
		}
		want := pinNone
		switch {
		case r.state == StatePending:
			want = pinNeeded
		case (r.state == StateReady || r.state == StateFreed) && r.kept() && r.remakeable:
			want = pinLineage
		}
		if r.pin != want {
			return fmt.Errorf("%v is %v and pins its arguments as %d", o, r.state, r.pin)
		}
		for _, a := range r.args {
			if t.recs[a] == nil {
				return fmt.Errorf("%v: the record of its argument %v is gone", o, a)
			}
			switch r.pin {
			case pinNeeded:
				needed[a]++
			case pinLineage:
				lineage[a]++
			}
		}
		switch {
		case len(r.holders) > 0 && (r.state != StateReady || !r.stored):
			return fmt.Errorf("%v is %v and has holders", o, r.state)
		case len(r.contains) > 0 && r.state != StateReady:
			return fmt.Errorf("%v is %v and holds what its value contained", o, r.state)
		}
	}
	if t.lines.count != lined || t.lines.bytes != bytes || bytes > t.lines.most && lined > 1 {
		return fmt.Errorf("%d records of lineage take %d bytes, counted %d and %d of %d", lined, bytes, t.lines.count, t.lines.bytes, t.lines.most)
	}
	for o, r := range t.recs {
		switch {
		case r.needed != needed[o] || r.lineage != lineage[o]:
			return fmt.Errorf("%v is needed %d times, counted %d; lineage %d, counted %d", o, needed[o], r.needed, lineage[o], r.lineage)
		case r.state == StatePending || r.referenced():
		case r.lineage == 0:
			return fmt.Errorf("%v is %v and kept for nothing", o, r.state)
		case r.state == StateReady && r.kept():
			return fmt.Errorf("%v: its data is kept for nothing", o)
		}
	}
	return nil
}
