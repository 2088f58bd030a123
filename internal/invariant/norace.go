//go:build !race

package invariant

// Race says whether the race detector is compiled in: functions take several times as long with it, and programs as much memory.
const Race = false
