package bench

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
)

const module = "github.com/kadrehq/kadre"

// machine describes what the row was measured on: no host name, user or path.
func machine() map[string]any {
	m := map[string]any{"go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH, "cores": runtime.NumCPU()}
	if s := firstLine("/proc/sys/kernel/osrelease"); s != "" {
		m["kernel"] = s
	}
	if s := field("/proc/cpuinfo", "model name"); s != "" {
		m["cpu"] = s
	}
	if s := field("/proc/meminfo", "MemTotal"); s != "" {
		m["memory"] = s
	}
	return m
}

// field gives the first "key: value" of a file, "" where there is none.
func field(file, key string) string {
	f, err := os.Open(file)
	if err != nil {
		return ""
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if k, v, ok := strings.Cut(sc.Text(), ":"); ok && strings.TrimSpace(k) == key {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func firstLine(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

// commit is the revision that was built, else that of the checkout we run in, else "unknown".
var commit = sync.OnceValue(func() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Path == module {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && s.Value != "" {
				return s.Value
			}
		}
	}
	dir, err := os.Getwd()
	if err != nil {
		return "unknown"
	}
	return checkoutCommit(dir)
})

// checkoutCommit asks git about the checkout of this module that dir lies in.
func checkoutCommit(dir string) string {
	for ; ; dir = filepath.Dir(dir) {
		if strings.TrimSpace(strings.TrimPrefix(firstLine(filepath.Join(dir, "go.mod")), "module ")) == module {
			break
		}
		if dir == filepath.Dir(dir) {
			return "unknown"
		}
	}
	out, err := exec.Command("git", "-C", dir, "rev-parse", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
