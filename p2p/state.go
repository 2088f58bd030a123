package p2p

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// state is a node's folder: its key, its last epoch, and the lock that keeps a second node out.
type state struct {
	dir  string
	lock *os.File
}

// openState makes the folder and takes its lock.
func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("p2p: making the state folder: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("p2p: opening the state folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("p2p: state folder %s is in use by another node (%w): give each node a folder of its own", dir, err)
	}
	halves, _ := filepath.Glob(filepath.Join(dir, ".*-*")) // what writeFile was at when a node was killed
	for _, h := range halves {
		os.Remove(h)
	}
	return &state{dir, f}, nil
}

func (s *state) close() { s.lock.Close() }

// key reads the node's key, drawing it on first use.
func (s *state) key() (crypto.PrivKey, error) {
	path := filepath.Join(s.dir, "node.key")
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s.newKey(path)
	}
	if err != nil {
		return nil, fmt.Errorf("p2p: reading the node's key: %w", err)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("p2p: the node's key %s has mode %04o: `chmod 600 %s`, or remove it for a new identity if others may have seen it", path, st.Mode().Perm(), path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("p2p: reading the node's key: %w", err)
	}
	k, err := crypto.UnmarshalPrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("p2p: the node's key %s is damaged (%w): remove it for a new identity", path, err)
	}
	return k, nil
}

func (s *state) newKey(path string) (crypto.PrivKey, error) {
	k, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("p2p: drawing the node's key: %w", err)
	}
	b, err := crypto.MarshalPrivateKey(k)
	if err == nil {
		err = writeFile(path, b, true)
	}
	if err != nil {
		return nil, fmt.Errorf("p2p: writing the node's key: %w", err)
	}
	return k, nil
}

// epoch draws the epoch of this start: later than every one before, on disk before it is used.
func (s *state) epoch(now time.Time) (uint64, error) {
	path := filepath.Join(s.dir, "epoch")
	var last uint64
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		if last, err = strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err != nil {
			return 0, fmt.Errorf("p2p: the epoch in %s is damaged (%w): remove node.key and epoch for a new identity", path, err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return 0, fmt.Errorf("p2p: reading the last epoch: %w", err)
	}
	e := max(last+1, uint64(now.UnixMicro()))
	if err := writeFile(path, strconv.AppendUint(nil, e, 10), true); err != nil {
		return 0, fmt.Errorf("p2p: writing the epoch: %w", err)
	}
	return e, nil
}

// writeFile replaces path in one step, 0600. With durable it is on disk when writeFile returns.
func writeFile(path string, b []byte, durable bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // 0600, O_EXCL
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	if err == nil && durable {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil || !durable {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
