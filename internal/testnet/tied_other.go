//go:build !linux

package testnet

import "syscall"

// Tied gives a process a group of its own. Nothing but Linux ends it with this one.
func Tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
