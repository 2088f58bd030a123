package p2p

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/member"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxDenied   = 1 << 14 // nodes on the list
	maxDenyFile = 1 << 20
)

// denied is the list of the nodes that are kept out, as its file had it last.
type denied struct {
	ids atomic.Pointer[map[id.Node]bool]
}

// has says whether a peer is on the list.
func (d *denied) has(p peer.ID) bool {
	l := d.ids.Load()
	return l != nil && (*l)[id.Node(p.String())]
}

// load reads the file, if there is one.
func (d *denied) load(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("p2p: reading the list of the denied: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxDenyFile+1))
	if err != nil {
		return fmt.Errorf("p2p: reading the list of the denied: %w", err)
	}
	ids, err := parseDenied(b)
	if err != nil {
		return fmt.Errorf("p2p: the list of the denied %s: %w", path, err)
	}
	d.ids.Store(&ids)
	return nil
}

// parseDenied reads an ID a line.
func parseDenied(b []byte) (map[id.Node]bool, error) {
	if len(b) > maxDenyFile {
		return nil, fmt.Errorf("longer than %d bytes", maxDenyFile)
	}
	l := map[id.Node]bool{}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := peer.Decode(text)
		if err != nil {
			return nil, fmt.Errorf("line %d: %q is no node's ID: copy it from `kadre list nodes`", n, text)
		}
		if l[id.Node(p.String())] = true; len(l) > maxDenied {
			return nil, fmt.Errorf("more than %d nodes", maxDenied)
		}
	}
	return l, lines.Err()
}

// watchDenied reads the list again when its file changes. A list that cannot be read leaves the one before.
func (h *Host) watchDenied(w watched) {
	h.applyDenied(nil)
	h.every(lookEvery, func() {
		if !w.changed() {
			return
		}
		was := *h.denied.ids.Load()
		err := h.denied.load(w.path)
		if w.done(err) {
			h.cfg.Logger.Warn("p2p: the list of the denied stays as it was", "err", err)
		}
		if err == nil {
			h.cfg.Logger.Info("p2p: read the list of the denied anew", "nodes", len(*h.denied.ids.Load()))
			h.applyDenied(was)
		}
	})
}

// applyDenied cuts off who is on the list, and lifts it from those who were.
func (h *Host) applyDenied(was map[id.Node]bool) {
	now := *h.denied.ids.Load()
	h.step(member.Deny{IDs: now})
	for n := range was {
		if !now[n] {
			h.kad.unbury(n)
		}
	}
	for n := range now {
		h.kad.bury(n)
		h.kad.evict(n)
	}
}
