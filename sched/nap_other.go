//go:build !linux

package sched

import "time"

func nap(d time.Duration) { time.Sleep(d) }
