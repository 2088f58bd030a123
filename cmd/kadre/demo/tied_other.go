//go:build !linux

package demo

import "syscall"

// tied keeps the terminal's ctrl-C from a node: the demo stops its nodes itself.
func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
