//go:build !unix

package sched

import "time"

// cpuTime is not known here: a stall then counts as one without use of the CPU.
func cpuTime() time.Duration { return 0 }
