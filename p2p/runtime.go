package p2p

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/member"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	peerExt      = ".peer"
	scanEvery    = time.Second
	maxPeerFile  = 64 << 10
	maxPeerFiles = 1 << 12     // looked at in one scan
	halfFor      = time.Minute // a file that is not whole after so long was left by a killed process
)

// peerFile is what a node leaves in the runtime folder.
type peerFile struct {
	ID    id.Node  `json:"id"`
	Epoch uint64   `json:"epoch"`
	Addrs []string `json:"addrs"`
	PID   int      `json:"pid"`
	Lane  bool     `json:"lane,omitempty"` // its socket for lanes is beside this file
	Place place    `json:"place"`
}

// place tells whether two nodes can reach each other's loopback and know each other's processes.
type place struct {
	Boot  string `json:"boot"`   // boot ID of the machine
	NetNS uint64 `json:"net_ns"` // inode of the network namespace
	PidNS uint64 `json:"pid_ns"` // and of the process namespace
}

func (p place) sameNet(o place) bool { return p.Boot == o.Boot && p.NetNS == o.NetNS }

// parsePeerFile reads a file that another process has written.
func parsePeerFile(b []byte) (f peerFile, err error) {
	if len(b) > maxPeerFile {
		return f, fmt.Errorf("p2p: peer file of more than %d bytes", maxPeerFile)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return peerFile{}, fmt.Errorf("p2p: peer file: %w", err)
	}
	if _, err := peer.Decode(string(f.ID)); err != nil {
		return peerFile{}, fmt.Errorf("p2p: peer file: name %q: %w", f.ID, err)
	}
	if len(f.Addrs) > member.MaxAddrs {
		return peerFile{}, fmt.Errorf("p2p: peer file: %d addresses, at most %d", len(f.Addrs), member.MaxAddrs)
	}
	return f, nil
}

// runtimeDir is a cluster's runtime folder as one node uses it, from one goroutine.
type runtimeDir struct {
	dir  string
	own  string // name of this node's file
	here place
	seen map[string]seenFile
}

// seenFile is a file that need not be read again.
type seenFile struct {
	mod  time.Time
	size int64
	file peerFile
}

func openRuntime(dir string, n id.Node) (*runtimeDir, error) {
	here, err := thisPlace()
	if err != nil {
		return nil, fmt.Errorf("p2p: runtime folder: %w", err)
	}
	return &runtimeDir{dir, n.Short() + peerExt, here, map[string]seenFile{}}, nil
}

// write replaces this node's file.
func (r *runtimeDir) write(n id.Node, epoch uint64, addrs []string, lane bool) error {
	b, err := json.Marshal(peerFile{n, epoch, addrs, os.Getpid(), lane, r.here})
	if err == nil {
		err = writeFile(filepath.Join(r.dir, r.own), b, false)
	}
	if err != nil {
		return fmt.Errorf("p2p: writing the runtime file: %w", err)
	}
	return nil
}

// remove takes this node's file away.
func (r *runtimeDir) remove() error {
	if err := os.Remove(filepath.Join(r.dir, r.own)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("p2p: removing the runtime file: %w", err)
	}
	return nil
}

// scan reads the other nodes' files: those that can be reached. It removes what dead processes left.
func (r *runtimeDir) scan() ([]peerFile, error) {
	d, err := os.Open(r.dir)
	if err != nil {
		return nil, fmt.Errorf("p2p: reading the runtime folder: %w", err)
	}
	defer d.Close()
	names, err := d.Readdirnames(maxPeerFiles)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("p2p: reading the runtime folder: %w", err)
	}
	var l []peerFile
	now := map[string]seenFile{}
	for _, name := range names {
		if strings.HasPrefix(name, ".") && strings.Contains(name, peerExt+"-") {
			r.sweep(name)
		}
		if !strings.HasSuffix(name, peerExt) || name == r.own || strings.HasPrefix(name, ".") {
			continue
		}
		s, err := r.read(name, r.seen)
		if err != nil || !s.file.Place.sameNet(r.here) {
			continue // half a file, or a node of another namespace
		}
		if s.file.Place == r.here && gone(s.file.PID) {
			os.Remove(filepath.Join(r.dir, strings.TrimSuffix(name, peerExt)+laneExt))
			os.Remove(filepath.Join(r.dir, name))
			continue
		}
		now[name] = s
		l = append(l, s.file)
	}
	r.seen = now
	return l, nil
}

// sweep removes a file that writeFile left half written.
func (r *runtimeDir) sweep(name string) {
	path := filepath.Join(r.dir, name)
	if st, err := os.Lstat(path); err == nil && st.Mode().IsRegular() && time.Since(st.ModTime()) > halfFor {
		os.Remove(path)
	}
}

// read reads a file unless it is the one seen before. It follows no link and waits for nobody.
func (r *runtimeDir) read(name string, seen map[string]seenFile) (seenFile, error) {
	path := filepath.Join(r.dir, name)
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return seenFile{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() {
		return seenFile{}, errors.Join(fs.ErrInvalid, err)
	}
	if s, ok := seen[name]; ok && s.mod.Equal(st.ModTime()) && s.size == st.Size() {
		return s, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, maxPeerFile+1))
	if err != nil {
		return seenFile{}, err
	}
	p, err := parsePeerFile(b)
	return seenFile{st.ModTime(), st.Size(), p}, err
}

// gone says that no process has this number.
func gone(pid int) bool { return pid <= 0 || syscall.Kill(pid, 0) == syscall.ESRCH }

// meetRuntime keeps this node's file and tells the view of the others.
func (h *Host) meetRuntime() {
	t := time.NewTicker(scanEvery)
	defer t.Stop()
	written := ""
	for {
		addrs := h.addrs()
		_, err := os.Stat(filepath.Join(h.runtime.dir, h.runtime.own))
		if err != nil || written != fmt.Sprint(addrs) {
			if err := h.runtime.write(h.id, h.epoch, addrs, h.near != nil); err != nil {
				h.cfg.Logger.Warn("p2p: other nodes of this machine cannot find this one", "err", err)
			} else {
				written = fmt.Sprint(addrs)
			}
		}
		for _, f := range h.lookNear() {
			h.step(member.Learn{ID: f.ID, Epoch: f.Epoch, Addrs: f.Addrs, Found: member.FoundRuntime})
		}
		select {
		case <-t.C:
		case <-h.ctx.Done():
			return
		}
	}
}

// lookNear looks who is there in the runtime folder.
func (h *Host) lookNear() []peerFile {
	files, err := h.runtime.scan()
	if err != nil {
		h.cfg.Logger.Warn("p2p: nodes of this machine cannot be found", "err", err)
		return nil
	}
	h.meetNear(files)
	return files
}
