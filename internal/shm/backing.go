package shm

import (
	"fmt"
	"strings"
)

// The kinds of backing, in order of preference.
const (
	KindHuge  = "huge"  // a file on a detached tmpfs with huge=always: first touch 8.6 GiB/s
	KindMemfd = "memfd" // a sealed memfd: 1.3 GiB/s, no huge pages where shmem_enabled is never
	KindFile  = "file"  // an unlinked file on disk
)

// Backing says what holds a shared file's bytes, and why the kinds before it were refused.
type Backing struct {
	Kind string
	Why  []string
}

func (b Backing) String() string {
	if len(b.Why) == 0 {
		return b.Kind
	}
	return b.Kind + " (" + strings.Join(b.Why, "; ") + ")"
}

// maker is one way to make an unnamed file of a size.
type maker struct {
	kind string
	make func(size int64, dir string) (fd int, err error)
}

// CreateFile makes an unnamed file of size bytes that can be mapped and passed to other processes. No pages
// are committed yet, see [Commit]. With an empty kind it takes the first kind that works; dir is where a
// file on disk would go, by default the temporary folder. The descriptor is closed on exec.
func CreateFile(size int64, kind, dir string) (fd int, b Backing, err error) {
	if size <= 0 {
		return -1, b, fmt.Errorf("shm: create: size %d is not positive", size)
	}
	for _, m := range makers {
		if kind != "" && kind != m.kind {
			continue
		}
		fd, err := m.make(size, dir)
		if err == nil {
			b.Kind = m.kind
			return fd, b, nil
		}
		b.Why = append(b.Why, m.kind+": "+err.Error())
	}
	if len(b.Why) == 0 {
		return -1, b, fmt.Errorf("shm: create: no backing of kind %q on this system; kadre needs Linux", kind)
	}
	return -1, b, fmt.Errorf("shm: create %d bytes: every backing failed (%s); free some memory or ask for less", size, strings.Join(b.Why, "; "))
}
