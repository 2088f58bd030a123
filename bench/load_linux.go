package bench

import (
	"strconv"
	"strings"
	"syscall"
	"time"
)

// load is how much CPU time the machine and this process with its ended children had used at a moment.
type load struct {
	at        time.Time
	busy, own time.Duration
	ok        bool
}

// tick is the unit of /proc/stat: USER_HZ is 100 on every architecture that Go supports.
const tick = 10 * time.Millisecond

func readLoad() load {
	l := load{at: time.Now()}
	busy, ok := parseBusy(firstLine("/proc/stat"))
	if !ok {
		return l
	}
	l.busy = busy
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var ru syscall.Rusage
		if syscall.Getrusage(who, &ru) != nil {
			return l
		}
		l.own += time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	l.ok = true
	return l
}

// parseBusy adds what the first line of /proc/stat counts as work: user, nice, system, irq, softirq and
// steal, not idle and iowait, and not guests, which user holds already.
func parseBusy(line string) (time.Duration, bool) {
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "cpu" {
		return 0, false
	}
	var ticks uint64
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		n, err := strconv.ParseUint(f[i], 10, 64)
		if err != nil {
			return 0, false
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, true
}

// foreign is how many cores others used between two moments.
func (l load) foreign(now load) *float64 {
	wall := now.at.Sub(l.at)
	if !l.ok || !now.ok || wall <= 0 {
		return nil
	}
	v := max(0, float64((now.busy-l.busy)-(now.own-l.own))/float64(wall))
	v = float64(int(v*1000+0.5)) / 1000
	return &v
}
