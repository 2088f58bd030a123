package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// maxSocketPath is what sockaddr_un holds, less the final zero.
const maxSocketPath = 107

// ownExts are the endings of a node's files in the runtime folder, in the order in which they go. Package p2p
// writes <short>.peer and makes <short>.lane.
var ownExts = []string{".sock", ".json", ".peer", ".lane", ".lock"}

// record is what a node leaves in the runtime folder for those who look for it, and for those who clean up
// after it.
type record struct {
	Node     id.Node   `json:"node"`
	Epoch    uint64    `json:"epoch"`
	PID      int       `json:"pid"`
	Socket   string    `json:"socket"`
	Started  time.Time `json:"started"`
	StateDir string    `json:"state_dir"`
	Temp     []string  `json:"temp,omitempty"` // folders that are to go with the node
	Private  bool      `json:"private,omitempty"`
}

// runtimeBase is the user's runtime folder.
func runtimeBase() string {
	if d := os.Getenv("XDG_RUNTIME_DIR"); d != "" {
		return filepath.Join(d, "kadre")
	}
	uid := os.Getuid()
	d := fmt.Sprintf("/run/user/%d", uid)
	if s, err := os.Stat(d); err == nil && s.IsDir() {
		return filepath.Join(d, "kadre")
	}
	return fmt.Sprintf("/tmp/kadre-%d", uid)
}

// RuntimeDir makes and checks the cluster's folder of this user, where its nodes find each other.
func RuntimeDir(cluster string) (string, error) { return runtimeDir("", cluster) }

// runtimeDir makes and checks the cluster's runtime folder. base "" is the user's.
func runtimeDir(base, cluster string) (string, error) {
	if base == "" {
		base = runtimeBase()
	}
	dir := filepath.Join(base, cluster)
	for _, d := range []string{base, dir} {
		if err := privateDir(d); err != nil {
			return "", err
		}
	}
	return dir, nil
}

// privateDir makes a folder that only this user can enter, or checks that it is one.
func privateDir(d string) error {
	if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("node: making the folder %s: %w", d, err)
	}
	s, err := os.Lstat(d)
	if err != nil {
		return fmt.Errorf("node: looking at the folder %s: %w", d, err)
	}
	st, ok := s.Sys().(*syscall.Stat_t)
	switch {
	case !s.IsDir():
		return fmt.Errorf("node: %s is not a folder (%v): remove it, or set XDG_RUNTIME_DIR", d, s.Mode().Type())
	case !ok || int(st.Uid) != os.Getuid():
		return fmt.Errorf("node: the folder %s belongs to another user: remove it, or set XDG_RUNTIME_DIR", d)
	case s.Mode().Perm()&0o077 != 0:
		return fmt.Errorf("node: the folder %s can be entered by others (mode %04o): chmod 700 it", d, s.Mode().Perm())
	}
	return nil
}

// lockFile creates and locks path. It gives nil when another process holds the lock. The kernel drops the
// lock with its holder, so a lock that can be had means that the node is dead.
func lockFile(path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("node: lock: %w", err)
		}
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, nil
			}
			return nil, fmt.Errorf("node: locking %s: %w", path, err)
		}
		// Whoever held it may have removed the file between our open and our lock.
		ours, err1 := f.Stat()
		there, err2 := os.Lstat(path)
		if err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return f, nil
		}
		f.Close()
	}
}

// sweep removes what dead nodes left in the runtime folder, and gives the records of the living.
func sweep(dir string) ([]record, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("node: reading the runtime folder: %w", err)
	}
	var living []record
	seen := map[string]bool{}
	for _, e := range entries {
		short, ok := strings.CutSuffix(e.Name(), filepath.Ext(e.Name()))
		if !ok || seen[short] || !slices.Contains(ownExts, filepath.Ext(e.Name())) {
			continue
		}
		seen[short] = true
		lock, err := lockFile(filepath.Join(dir, short+".lock"))
		if err != nil {
			return nil, err
		}
		if lock == nil {
			if r, err := readRecord(dir, short); err == nil { // else it is just starting or ending
				living = append(living, r)
			}
			continue
		}
		if r, err := readRecord(dir, short); err == nil {
			r.remove()
		}
		removeFiles(dir, short)
		lock.Close()
	}
	return living, nil
}

// remove deletes what a dead node's record names.
func (r *record) remove() {
	for _, d := range r.Temp {
		if filepath.IsAbs(d) {
			os.RemoveAll(d)
		}
	}
	if s, err := os.Lstat(r.Socket); err == nil && s.Mode().Type() == fs.ModeSocket {
		os.Remove(r.Socket)
	}
}

// removeFiles deletes a node's own files in the runtime folder, its lock last.
func removeFiles(dir, short string) {
	halves, _ := filepath.Glob(filepath.Join(dir, "."+short+".peer-*")) // p2p was killed as it wrote one
	for _, h := range append(halves, filepath.Join(dir, short+".json.tmp")) {
		os.Remove(h)
	}
	for _, ext := range ownExts {
		os.Remove(filepath.Join(dir, short+ext))
	}
}

func readRecord(dir, short string) (r record, err error) {
	b, err := os.ReadFile(filepath.Join(dir, short+".json"))
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// writeRecord makes the record appear at once.
func writeRecord(dir, short string, r record) error {
	b, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("node: record: %w", err)
	}
	path := filepath.Join(dir, short+".json")
	if err := os.WriteFile(path+".tmp", append(b, '\n'), 0o600); err != nil {
		return fmt.Errorf("node: record: %w", err)
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return fmt.Errorf("node: record: %w", err)
	}
	return nil
}

// FindNode gives the socket of the oldest living node of a cluster in the user's runtime folder, "" when
// there is none. Private nodes are not found.
func FindNode(cluster string) (socket string, err error) {
	return findNode("", Config{Cluster: cluster}.withDefaults().Cluster)
}

func findNode(base, cluster string) (string, error) {
	if !clusterName.MatchString(cluster) {
		return "", Config{Cluster: cluster, CPUs: 1}.validate()
	}
	if base == "" {
		base = runtimeBase()
	}
	if _, err := os.Lstat(filepath.Join(base, cluster)); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	dir, err := runtimeDir(base, cluster)
	if err != nil {
		return "", err
	}
	living, err := sweep(dir)
	if err != nil {
		return "", err
	}
	var oldest record
	for _, r := range living {
		if !r.Private && (oldest.Socket == "" || r.Started.Before(oldest.Started)) {
			oldest = r
		}
	}
	return oldest.Socket, nil
}
