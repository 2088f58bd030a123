package arena

import (
	"bufio"
	"os"
	"strconv"
	"strings"
)

// Config says how large an arena is. The zero value works.
type Config struct {
	// Size is the number of data bytes, rounded up to granules. Default: [DefaultSize].
	Size int64
	// Entries is the most objects at a time. Default: one for each 4 KiB of Size, 1,024 to 1,000,000.
	Entries int
	// Clients is the most processes at a time, the node among them. Default: 256, which is also the most.
	Clients int
	// Dir is where a file on disk goes when there is no shared memory. Default: the temporary folder.
	Dir string
	// Kind allows one kind of backing only (shm.KindHuge, …). Default: the first that works.
	Kind string
}

const (
	bytesPerEntry = 4 << 10
	minEntries    = 1 << 10
	fallbackSize  = 1 << 30 // where the system does not say how much memory it has
)

func (c Config) withDefaults() Config {
	if c.Size == 0 {
		c.Size = DefaultSize()
	}
	if c.Entries == 0 {
		c.Entries = int(min(max(c.Size/bytesPerEntry, minEntries), maxEntries))
	}
	if c.Clients == 0 {
		c.Clients = maxClients
	}
	return c
}

// DefaultSize is 30% of the machine's memory or of the control group's limit, whichever is less, or half of
// what is free if that is less still.
func DefaultSize() int64 {
	total, avail := meminfo()
	if total == 0 {
		return fallbackSize
	}
	limit := min(total, groupLimit())
	return max(min(limit*3/10, avail/2)&^(Granule-1), Granule)
}

// Memory is the machine's memory in bytes, or the control group's limit if that is less.
func Memory() int64 {
	total, _ := meminfo()
	if total == 0 {
		total = 1 << 62
	}
	return min(total, groupLimit())
}

// meminfo reads how much memory the machine has and could give; zeros where the system does not say.
func meminfo() (total, avail int64) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		w := strings.Fields(s.Text())
		if len(w) < 2 {
			continue
		}
		n, err := strconv.ParseInt(w[1], 10, 64)
		if err != nil || n > 1<<50 {
			continue
		}
		switch w[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			avail = n << 10
		}
	}
	return total, avail
}

// groupLimit is the least limit of memory on the way up from our control group.
func groupLimit() int64 {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return noLimit
	}
	return limitOf(string(b), "/sys/fs/cgroup")
}

// noLimit is more memory than any machine has.
const noLimit = int64(1) << 60

// limitOf is the least limit of the control groups of a process, see groupsOf.
func limitOf(groups, root string) int64 {
	limit := noLimit
	for _, g := range groupsOf(groups, root) {
		limit = min(limit, g.most)
	}
	return limit
}
