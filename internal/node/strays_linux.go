package node

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// strayRounds bounds how often strays are looked for, since one may have started another meanwhile.
const strayRounds = 10

// KillStrays kills what a worker has started and what left its process group, by a session of its own. Such a process is
// known by the environment that it inherited, which names the worker and its node: that needs no privilege, and finds
// also whose parents are gone. One that has cleared its environment is not found. It returns how many there were.
func KillStrays(socket, worker string) (n int) {
	want := [][]byte{[]byte("KADRE_SOCKET=" + socket), []byte(ChildOf + "=" + worker)}
	for range strayRounds {
		found := strays(want)
		if n += found; found == 0 {
			break
		}
	}
	return n
}

// strays kills each process but this one whose environment has all of want.
func strays(want [][]byte) (n int) {
	dir, err := os.Open("/proc")
	if err != nil {
		return 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1) // what was read is looked at
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		fd, err := unix.PidfdOpen(pid, 0) // before the look, so that the signal is for the process that was looked at
		if err != nil {
			continue
		}
		if inherits(pid, want) && unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) == nil {
			n++
		}
		unix.Close(fd)
	}
	return n
}

// inherits says whether a process of this user, which has not ended, has such an environment.
func inherits(pid int, want [][]byte) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return false
	}
	left := len(want)
	for v := range bytes.SplitSeq(b, []byte{0}) {
		for _, w := range want {
			if bytes.Equal(v, w) {
				left--
			}
		}
	}
	return left <= 0
}
