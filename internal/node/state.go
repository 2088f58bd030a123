package node

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Sub-folders of the state folder.
const (
	exeDir     = "exe"     // fetched executables, by SHA-256
	logDir     = "logs"    // of workers
	scratchDir = "scratch" // of jobs; goes with the node
	spillDir   = "spill"   // objects that do not fit into the arena; goes with the node
)

// stateLock is the file in the state folder that its node has locked. The network has one of its own.
const stateLock = "node.lock"

const (
	maxStateDirs = 1024 // nodes of one user and cluster on one machine
	keptExes     = 16   // executables kept from one start to the next
	keptLogs     = 64   // log files likewise
)

// openState finds, makes and locks the state folder.
func openState(cfg Config) (dir string, lock *os.File, err error) {
	if cfg.StateDir != "" {
		dir, err = filepath.Abs(cfg.StateDir)
		if err != nil {
			return "", nil, fmt.Errorf("node: state folder: %w", err)
		}
		lock, err = lockState(dir)
		if err == nil && lock == nil {
			err = fmt.Errorf("node: the state folder %s is in use by a running node: choose another with --state-dir", dir)
		}
		return dir, lock, err
	}
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", nil, fmt.Errorf("node: no place for the state folder: %w: set --state-dir or XDG_STATE_HOME", err)
		}
		base = filepath.Join(home, ".local", "state")
	}
	for i := range maxStateDirs {
		dir = filepath.Join(base, "kadre", cfg.Cluster, fmt.Sprintf("node-%d", i))
		lock, err = lockState(dir)
		if err != nil || lock != nil {
			return dir, lock, err
		}
	}
	return "", nil, fmt.Errorf("node: all %d state folders in %s are in use: set --state-dir", maxStateDirs, filepath.Dir(dir))
}

// lockState makes a state folder and locks it; nil when a living node has it.
func lockState(dir string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, fmt.Errorf("node: state folder: %w", err)
	}
	if err := privateDir(dir); err != nil {
		return nil, err
	}
	return lockFile(filepath.Join(dir, stateLock))
}

// prepareState makes the sub-folders and drops what an earlier start left there.
func prepareState(dir string) error {
	if err := os.RemoveAll(filepath.Join(dir, scratchDir)); err != nil {
		return fmt.Errorf("node: state folder: %w", err)
	}
	for _, sub := range []string{exeDir, logDir, scratchDir} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return fmt.Errorf("node: state folder: %w", err)
		}
	}
	prune(filepath.Join(dir, exeDir), keptExes)
	prune(filepath.Join(dir, logDir), keptLogs)
	return nil
}

// spillDir is this node's folder for objects that do not fit, and nobody else's.
func (n *Node) spillDir() string {
	if n.cfg.SpillDir == "" {
		return filepath.Join(n.state, spillDir)
	}
	return filepath.Join(n.cfg.SpillDir, "kadre-"+n.short)
}

// openSpill drops what an earlier start spilled. A folder of the user's choice is tried at once, so that it is
// not found missing when it is needed.
func (n *Node) openSpill() error {
	if err := os.RemoveAll(n.spillDir()); err != nil {
		return fmt.Errorf("node: spill folder: %w: give another with --spill-dir", err)
	}
	if n.cfg.SpillDir == "" {
		return nil
	}
	if err := privateDir(n.spillDir()); err != nil {
		return fmt.Errorf("%w: give an existing folder with --spill-dir", err)
	}
	return nil
}

// prune keeps the newest files of a folder.
func prune(dir string, keep int) {
	type file struct {
		path string
		time int64
	}
	var files []file
	entries, _ := os.ReadDir(dir) // what cannot be listed is not pruned
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasSuffix(path, ".tmp") {
			os.Remove(path)
			continue
		}
		if s, err := e.Info(); err == nil {
			files = append(files, file{path, s.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return int(min(1, max(-1, b.time-a.time))) })
	for _, f := range files[min(keep, len(files)):] {
		os.Remove(f.path)
	}
}
