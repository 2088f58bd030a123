//go:build !linux

package testnet

import "syscall"

func tied() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
