package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	viewLogs = "logs" // lists the files
	viewLog  = "log " // and node, file, number of the file and place: what it has from there on

	maxLogPart  = 256 << 10 // bytes of a file in one answer
	maxLogFiles = 1000      // in one list, the newest
)

// LogFile is what a worker wrote, on the node where it ran.
type LogFile struct {
	Node  id.Node `json:"node"`
	Job   string  `json:"job"`
	PID   int     `json:"pid"`
	Name  string  `json:"name"`
	Bytes int64   `json:"bytes"` // of the newest part; one older part is kept
	Time  int64   `json:"time"`  // of the last line, Unix seconds
	Alive bool    `json:"alive"`
}

// LogPart is a part of a log.
type LogPart struct {
	Data  []byte `json:"data"`
	File  uint64 `json:"file"`            // the number of the file it is of, another one after a rotation
	Next  int64  `json:"next"`            // where to go on in that file
	More  bool   `json:"more,omitempty"`  // there is more already
	Jumps bool   `json:"jumps,omitempty"` // what was asked for is gone: this is what is left
}

var logName = regexp.MustCompile(`^([0-9a-f]{16})-([0-9]+)\.log$`)

// logFiles lists the logs of this node's workers, also of those that have ended, the newest last.
func (n *Node) logFiles() []LogFile {
	ls := []LogFile{}
	entries, err := os.ReadDir(filepath.Join(n.state, logDir))
	if err != nil {
		return ls
	}
	alive := map[int]bool{}
	n.mu.Lock()
	for _, w := range n.workers {
		alive[w.pid] = true
	}
	n.mu.Unlock()
	for _, e := range entries {
		m := logName.FindStringSubmatch(e.Name())
		info, err := e.Info()
		if m == nil || err != nil {
			continue
		}
		pid, _ := strconv.Atoi(m[2]) // the expression has digits
		ls = append(ls, LogFile{n.id, m[1], pid, e.Name(), info.Size(), info.ModTime().Unix(), alive[pid]})
	}
	slices.SortFunc(ls, func(a, b LogFile) int { return cmp.Or(cmp.Compare(a.Time, b.Time), cmp.Compare(a.PID, b.PID)) })
	return ls[max(0, len(ls)-maxLogFiles):]
}

// logPart gives a part of a log of any node: "NODE FILE NUMBER PLACE". Number 0 asks for the last bytes, as many as
// place says.
func (n *Node) logPart(ctx context.Context, what string) (any, error) {
	f := strings.Fields(what)
	if len(f) != 4 || !logName.MatchString(f[1]) {
		return nil, fmt.Errorf("node: log %q: want a node, a file, its number and a place", what)
	}
	if at := id.Node(f[0]); at != n.id {
		ctx, cancel := context.WithTimeout(ctx, memberAnswer)
		defer cancel()
		b, err := n.ask(ctx, id.Addr{Node: at}, wire.KStatus, wire.Marshal(&wire.StatusQuery{What: viewLog + what}))
		return json.RawMessage(b), err
	}
	number, err1 := strconv.ParseUint(f[2], 10, 64)
	place, err2 := strconv.ParseInt(f[3], 10, 64)
	if err1 != nil || err2 != nil || place < 0 {
		return nil, fmt.Errorf("node: log %q: the number or the place is none", what)
	}
	return readLog(filepath.Join(n.state, logDir, f[1]), number, place)
}

// readLog gives what a log has from a place on.
func readLog(path string, number uint64, place int64) (*LogPart, error) {
	now, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("node: log: %w", err)
	}
	defer now.Close()
	info, err := now.Stat()
	if err != nil {
		return nil, fmt.Errorf("node: log: %w", err)
	}
	p := &LogPart{File: fileNumber(info)}
	from := now
	switch {
	case number == 0:
		place = max(0, info.Size()-min(place, maxLogPart))
	case number == p.File && place <= info.Size():
	case number == p.File: // a file system gives the number of a file that is gone to a later one
		p.Jumps, place = true, 0
	default:
		old, err := os.Open(path + ".1")
		if err == nil {
			defer old.Close()
			if i, err := old.Stat(); err == nil && fileNumber(i) == number {
				if place < i.Size() {
					from, p.File = old, number
					break
				}
				place = 0 // all of it was read
				break
			}
		}
		p.Jumps, place = true, 0
	}
	buf := make([]byte, maxLogPart)
	k, err := from.ReadAt(buf, place)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("node: log: %w", err)
	}
	p.Data, p.Next, p.More = buf[:k], place+int64(k), k == len(buf) || from != now
	return p, nil
}

// fileNumber tells files apart that have one name after the other.
func fileNumber(i fs.FileInfo) uint64 { return inode(i) | 1<<63 }
