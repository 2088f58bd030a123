package proc

import (
	"runtime"
	"testing"
	"time"
)

func TestIdleCollectionsTakeTheirShare(t *testing.T) {
	var c idleCollections
	begin := time.Now()
	for _, one := range []struct{ took, pause time.Duration }{
		{time.Millisecond, 100 * time.Millisecond},
		{500 * time.Millisecond, 50 * time.Second},
		{5 * time.Second, 2 * time.Minute},
		{0, 0},
	} {
		if !c.due(begin) || c.due(begin) {
			t.Fatal("one at a time, when it is due")
		}
		begin = begin.Add(one.took)
		c.ended(begin, one.took)
		if one.pause > 0 && c.due(begin.Add(one.pause-1)) {
			t.Errorf("after one that took %v the next comes before %v", one.took, one.pause)
		}
		begin = begin.Add(one.pause)
	}
	before := collectorTime()
	runtime.GC()
	if took := collectorTime() - before; took <= 0 {
		t.Errorf("a collection took %v", took)
	}
}
