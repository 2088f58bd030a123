package p2p

import (
	"fmt"
	"os"
	"strings"
	"syscall"
)

// thisPlace tells where this process runs.
func thisPlace() (place, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return place{}, fmt.Errorf("p2p: reading the boot ID: %w", err)
	}
	p := place{Boot: strings.TrimSpace(string(b))}
	for path, to := range map[string]*uint64{"/proc/self/ns/net": &p.NetNS, "/proc/self/ns/pid": &p.PidNS} {
		var st syscall.Stat_t
		if err := syscall.Stat(path, &st); err != nil {
			return place{}, fmt.Errorf("p2p: looking at %s: %w", path, err)
		}
		*to = st.Ino
	}
	return p, nil
}
