//go:build !linux

package testbed

import "syscall"

// tied gives a process a group of its own. Nothing but Linux ends it with the test.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
