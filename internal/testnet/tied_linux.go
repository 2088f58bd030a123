package testnet

import "syscall"

// Tied gives a process a group of its own, so that ^C does not reach it, and ends it with this one however that
// ends.
func Tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
