//go:build !linux

package bench

import (
	"errors"
	"time"
)

func cpuTime(...int) (time.Duration, error) { return 0, errors.New("CPU time is read on Linux only") }
