package bench

import (
	"testing"
	"time"
)

func TestParseBusy(t *testing.T) {
	const line = "cpu  100 20 30 4000 500 6 7 8 50 0"
	if busy, ok := parseBusy(line); !ok || busy != 1710*time.Millisecond {
		t.Errorf("busy for %v, %v", busy, ok)
	}
	for _, bad := range []string{"", "cpu 1 2", "cpu0 1 2 3 4 5 6 7 8 9", "cpu a 2 3 4 5 6 7 8 9"} {
		if _, ok := parseBusy(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestForeignLeavesOutOurOwn(t *testing.T) {
	at := time.Now()
	before := load{at: at, busy: time.Second, own: time.Second / 2, ok: true}
	after := load{at: at.Add(2 * time.Second), busy: 4 * time.Second, own: 5 * time.Second / 2, ok: true}
	if v := before.foreign(after); v == nil || *v != 0.5 {
		t.Errorf("others used %v cores, want 0.5", v)
	}
	after.ok = false
	if v := before.foreign(after); v != nil {
		t.Errorf("unknown load gives %v", *v)
	}
	if l := readLoad(); !l.ok || l.busy <= 0 || l.own <= 0 {
		t.Errorf("load is %+v", l)
	}
}
