package testbed

import "syscall"

// tied gives a process a group of its own, and ends it with the test however that ends.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
