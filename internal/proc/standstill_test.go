package proc

import (
	"testing"
	"time"

	"github.com/kadrehq/kadre/sched"
)

func TestStandstillLine(t *testing.T) {
	queued, running := tally{"main.a": 2, "main.b": 3, "main.c": 1, "main.d": 1}, tally{"main.long": 2}
	for want, got := range map[string]string{
		"none of 7 queued tasks of process 9 on node n has begun for 31s: main.b (3), main.a (2), main.c (1), and others; meanwhile it runs main.long (2)": standstillLine(31*time.Second, queued, running, sched.Stats{Slots: 2, Running: 2}, "n", 9),
		"none of 1 queued tasks of process 9 on node n has begun for 1m0s: main.x (1); other processes have CPUs of this node that it could use":           standstillLine(time.Minute, tally{"main.x": 1}, tally{}, sched.Stats{Slots: 2}, "n", 9),
	} {
		if got != want {
			t.Errorf("%q is not %q", got, want)
		}
	}
}
