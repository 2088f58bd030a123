package spill

import (
	"fmt"
	"syscall"
)

// mountSmall makes a file system of a few bytes in memory.
func mountSmall(at string, size int) error {
	return syscall.Mount("tmpfs", at, "tmpfs", 0, fmt.Sprintf("size=%d", size))
}
