package demo

import "syscall"

// tied ends a node with the demo, however that ends, and keeps the terminal's ctrl-C from it: the demo
// stops its nodes itself.
func tied() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
