package testnet

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Usage is what the kernel says that a process has used.
type Usage struct {
	CPU     time.Duration // since it started
	Anon    int64         // bytes resident, its own
	File    int64         // bytes resident, of files: the executable
	Shmem   int64         // bytes resident, shared: the arena
	Threads int
}

// clockTick is the kernel's unit of CPU time in /proc, the same on all Linux systems.
const clockTick = 10 * time.Millisecond

// Usage reads what the node has used.
func (d *Node) Usage() (u Usage, err error) {
	dir := filepath.Join("/proc", strconv.Itoa(d.PID))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return u, fmt.Errorf("testnet: %s: %w", d.Name, err)
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // names may have spaces
	if f := strings.Fields(string(rest)); len(f) > 12 {
		for _, s := range f[11:13] { // in user mode, in the kernel
			ticks, err := strconv.ParseInt(s, 10, 64)
			if err != nil {
				return u, fmt.Errorf("testnet: %s: %w", d.Name, err)
			}
			u.CPU += time.Duration(ticks) * clockTick
		}
	}
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		return u, fmt.Errorf("testnet: %s: %w", d.Name, err)
	}
	for line := range strings.Lines(string(status)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		v, _ := strconv.ParseInt(f[1], 10, 64) // words are not looked at
		switch f[0] {
		case "RssAnon:":
			u.Anon = v << 10
		case "RssFile:":
			u.File = v << 10
		case "RssShmem:":
			u.Shmem = v << 10
		case "Threads:":
			u.Threads = int(v)
		}
	}
	return u, nil
}
