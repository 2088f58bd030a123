package owner

import (
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
)

// check counts everything again, the slow way.
func (t *Table) check() error {
	needed, lineage := map[id.Object]int{}, map[id.Object]int{}
	for o, r := range t.recs {
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
