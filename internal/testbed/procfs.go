package testbed

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// What the kernel tells of processes. One that ends meanwhile is as good as one that was not there.

// pids lists all processes.
func pids() (all []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// marked lists the processes, dead ones that nobody waited for aside, whose environment has a variable.
func marked(variable string) (found []int) {
	for _, pid := range pids() {
		b, err := os.ReadFile(procFile(pid, "environ"))
		if err == nil && bytes.Contains(append([]byte{0}, b...), []byte("\x00"+variable+"\x00")) {
			found = append(found, pid)
		}
	}
	return found
}

// Environment is what a process was started with, and never changes.
func Environment(t testing.TB, pid int) []string {
	t.Helper()
	b := must[[]byte](t, "environment")(os.ReadFile(procFile(pid, "environ")))
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}

func commandLine(pid int) string {
	b, err := os.ReadFile(procFile(pid, "cmdline"))
	if err != nil {
		return err.Error()
	}
	return string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
}

// killProcess ends a process that a test has started.
func killProcess(pid int) { syscall.Kill(pid, syscall.SIGKILL) }

// Alive tells whether a process runs. One that has ended and was not waited for does not.
func Alive(pid int) bool {
	b, err := os.ReadFile(procFile(pid, "stat"))
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(b, []byte(") ")) // names may have spaces
	return ok && len(rest) > 0 && rest[0] != 'Z' && rest[0] != 'X'
}

// Executable is the SHA-256 of the image that a process runs, deleted or not.
func Executable(t testing.TB, pid int) string {
	t.Helper()
	return Checksum(t, procFile(pid, "exe"))
}

// Checksum is the SHA-256 of a file.
func Checksum(t testing.TB, path string) string {
	t.Helper()
	f := must[*os.File](t, "checksum")(os.Open(path))
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Mapping is a file that a process has mapped.
type Mapping struct {
	Device string
	Inode  uint64
	Path   string
}

// Shared lists the shared mappings of a process that can hold an arena: each file once.
func Shared(pid int) (ms []Mapping) {
	b, _ := os.ReadFile(procFile(pid, "maps"))
	seen := map[Mapping]bool{}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 6 || !strings.HasSuffix(f[1], "s") || f[4] == "0" {
			continue
		}
		inode, err := strconv.ParseUint(f[4], 10, 64)
		m := Mapping{Device: f[3], Inode: inode, Path: strings.Join(f[5:], " ")}
		if err == nil && !seen[m] {
			seen[m] = true
			ms = append(ms, m)
		}
	}
	return ms
}

// Mappers lists the processes that have mapped a file.
func Mappers(m Mapping) (found []int) {
	key := []byte(fmt.Sprintf(" %s %d ", m.Device, m.Inode))
	for _, pid := range pids() {
		if b, err := os.ReadFile(procFile(pid, "maps")); err == nil && bytes.Contains(b, key) {
			found = append(found, pid)
		}
	}
	return found
}

// Listening lists the addresses, as in /proc/net/tcp, on which the network namespace of a process listens for
// TCP.
func Listening(t testing.TB, pid int) (addrs []string) {
	t.Helper()
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		b := must[[]byte](t, "sockets")(os.ReadFile(procFile(pid, table)))
		for line := range strings.Lines(string(b)) {
			const listens = "0A"
			if f := strings.Fields(line); len(f) > 3 && f[3] == listens {
				addrs = append(addrs, f[1])
			}
		}
	}
	return addrs
}
