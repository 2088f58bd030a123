package arena

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Where a machine or a control group has no memory left, who asks for a page of shared memory is not refused: the kernel
// kills a process. So pages are asked for only as long as there is memory for them, and some beside, for the heaps of
// processes.

const (
	headroomKept  = 8         // one part in so many of a limit is left to others
	headroomMost  = 256 << 20 // but not more than so many bytes
	headroomFor   = 20 * time.Millisecond
	headroomSmall = 2 << 20 // bytes that are taken on credit of a look that found many times as much
)

// headroom is how much memory there is for pages, as of a moment ago. Each process asks for itself: the pages are
// counted for its control group. The lock is a leaf.
type headroom struct {
	mu     sync.Mutex
	groups []group
	found  bool // groups are known
	at     time.Time
	left   int64
	who    string // has so little
}

// group is a control group with a limit.
type group struct {
	dir         string
	limit, used string // files
	inactive    string // how the file memory.stat calls what can be taken back
	most        int64
}

// take says whether there are n bytes for pages. What was taken since the last look counts.
func (h *headroom) take(n int64) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.found {
		h.groups, h.found = ownGroups(), true
	}
	if now := time.Now(); n > h.left || n > headroomSmall || now.Sub(h.at) > headroomFor {
		h.left, h.who = look(h.groups)
		h.at = now
	}
	if n > h.left {
		return fmt.Errorf("arena: %s has %d bytes of memory to spare, and %d are needed: give it more, or the store less", h.who, max(h.left, 0), n)
	}
	h.left -= n
	return nil
}

// ownGroups are those of this process.
func ownGroups() []group {
	b, _ := os.ReadFile("/proc/self/cgroup") // where it cannot be read there are no groups
	return groupsOf(string(b), "/sys/fs/cgroup")
}

// Spare is how many bytes of memory the machine or this process's control groups have for whoever wants some now.
func Spare() int64 {
	left, _ := look(ownGroups())
	return left
}

// look is how much memory can be taken, and who has no more.
func look(groups []group) (left int64, who string) {
	left, who = math.MaxInt64, "the machine"
	if total, avail := meminfo(); total > 0 {
		left = avail - keptOf(total)
	}
	for _, g := range groups {
		used, ok := number(filepath.Join(g.dir, g.used))
		if !ok {
			continue
		}
		if l := g.most - used + g.reclaimable() - keptOf(g.most); l < left {
			left, who = l, "the control group at "+g.dir
		}
	}
	return left, who
}

func keptOf(limit int64) int64 { return min(limit/headroomKept, headroomMost) }

// reclaimable is what the kernel takes back from a group before it has no memory: pages of files.
func (g group) reclaimable() (n int64) {
	b, err := os.ReadFile(filepath.Join(g.dir, "memory.stat"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if name, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name == g.inactive {
			n, _ = strconv.ParseInt(v, 10, 64)
		}
	}
	return max(n, 0)
}

// number reads a file with one.
func number(path string) (int64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}

// groupsOf are the groups with a limit of a process whose control groups are given as in /proc/self/cgroup, of version
// 2, or 1 where the controller of memory has a tree of its own. In a container the way may begin where we can't see it.
func groupsOf(groups, root string) (gs []group) {
	for line := range strings.Lines(groups) {
		w := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(w) < 3 {
			continue
		}
		g := group{limit: "memory.max", used: "memory.current", inactive: "inactive_file"}
		dir := root
		if w[1] == "memory" {
			dir = root + "/memory"
			g = group{limit: "memory.limit_in_bytes", used: "memory.usage_in_bytes", inactive: "total_inactive_file"}
		} else if w[1] != "" {
			continue
		}
		for path := strings.TrimSuffix(w[2], "/"); ; path = path[:strings.LastIndexByte(path, '/')] {
			g.dir = dir + path
			if n, ok := number(filepath.Join(g.dir, g.limit)); ok && n > 0 && n < noLimit {
				g.most = n
				gs = append(gs, g)
			}
			if !strings.Contains(path, "/") {
				break
			}
		}
	}
	return gs
}
