//go:build !linux

package sched

import "time"

// sharpen does nothing here.
func sharpen() {}

func nap(d time.Duration) { time.Sleep(d) }
