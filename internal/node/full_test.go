package node

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/wire"
)

func TestSpillFolderOfTheUsersChoice(t *testing.T) {
	dir := testDir(t)
	c := private(dir)
	c.SpillDir = t.TempDir()
	n := startNode(t, c)
	own := filepath.Join(c.SpillDir, "kadre-"+n.short)
	s, err := os.Lstat(own)
	if err != nil || s.Mode().Perm() != 0o700 {
		t.Errorf("the node's own folder: %v, %v", s, err)
	}
	if r, err := readRecord(n.dir, n.short); err != nil || !slices.Contains(r.Temp, own) {
		t.Errorf("a sweep would leave it: %+v, %v", r, err)
	}
	if got := n.Status().Store.SpillDir; got != own {
		t.Errorf("the status speaks of %s", got)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if got := ls(t, c.SpillDir); len(got) != 0 {
		t.Errorf("left: %v", got)
	}
}

func TestSpillFolderOfAnotherIsRefused(t *testing.T) {
	dir := testDir(t)
	c := private(dir)
	c.SpillDir, c.StateDir = t.TempDir(), filepath.Join(dir, "state")
	c.SpillDir = filepath.Join(c.SpillDir, "file")
	if err := os.WriteFile(c.SpillDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if n, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), "--spill-dir") {
		t.Errorf("got %v", err)
		n.Close()
	}
}

func TestBlameNamesProcesses(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	if got := n.blame(); got != "no process holds any" {
		t.Error(got)
	}
	f := driver(t, n, wire.Hello{}, nil)
	w, err := f.arena.Create([20]byte{1}, 1000, f.job, 0)
	if err != nil {
		t.Fatal(err)
	}
	h, err := w.Seal(true)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.blame(); !strings.Contains(got, "holds 1 objects of 1000 bytes") || !strings.Contains(got, "process ") {
		t.Error(got)
	}
	h.Release()
	f.arena.Delete([20]byte{1})
	f.leave(true)
}
