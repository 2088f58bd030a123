package demo

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// folderName starts the names of the demo's folders; the process follows.
const folderName = "kadre-demo-"

// sweep removes the folders of demos that were killed.
func sweep(temp string) {
	dirs, _ := filepath.Glob(filepath.Join(temp, folderName+"*")) // the pattern is good
	for _, d := range dirs {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(d), folderName), "-")
		if n, err := strconv.Atoi(pid); err == nil && n > 0 && errors.Is(syscall.Kill(n, 0), syscall.ESRCH) {
			os.RemoveAll(d) // another user's stays
		}
	}
}
