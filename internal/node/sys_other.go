//go:build !linux

package node

import (
	"errors"
	"net"
	"os"
	"os/exec"
)

var errLinuxOnly = errors.New("node: nodes run on Linux only so far")

type pidfd struct{}

func openPidfd(int) (*pidfd, error)                        { return nil, errLinuxOnly }
func watchPeer(*net.UnixConn, int, uint64) (*pidfd, error) { return nil, errLinuxOnly }
func bootTicks() uint64                                    { return 0 }
func beganAt(int) (uint64, bool)                           { return 0, false }

const ticksPerSecond = 100

func (p *pidfd) wait() bool { return false }
func (p *pidfd) close()     {}

func openExe(int) (*os.File, error) { return nil, errLinuxOnly }
func exePath(f *os.File) string     { return f.Name() }
func leashed(*exec.Cmd)             {}
func killGroup(int) error           { return errLinuxOnly }
func capData(int, int64) error      { return errLinuxOnly }

// KillStrays is not supported on this system.
func KillStrays(string, string) int { return 0 }
