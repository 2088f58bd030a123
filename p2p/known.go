package p2p

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/member"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	knownName    = "peers.json" // in the state folder
	maxKnown     = 64           // the members last seen
	maxKnownFile = 1 << 20
	knownFor     = 30 * 24 * time.Hour
	knownEvery   = 2 * time.Second // how often changes are looked for
)

// known is a member that this node remembers across its restarts.
type known struct {
	ID    id.Node  `json:"id"`
	Epoch uint64   `json:"epoch"`
	Addrs []string `json:"addrs"`
	Seen  int64    `json:"seen"` // Unix time
}

// knownFile is the file of them.
type knownFile struct {
	Cluster string  `json:"cluster"`
	Peers   []known `json:"peers"`
}

// parseKnown reads the file; who is malformed or too old is left out.
func parseKnown(b []byte, cluster string, now time.Time) (map[id.Node]known, error) {
	l := map[id.Node]known{}
	if len(b) > maxKnownFile {
		return l, fmt.Errorf("p2p: remembered members: file of more than %d bytes", maxKnownFile)
	}
	var f knownFile
	if err := json.Unmarshal(b, &f); err != nil {
		return l, fmt.Errorf("p2p: remembered members: %w", err)
	}
	if f.Cluster != cluster {
		return l, nil
	}
	for _, k := range f.Peers {
		_, err := peer.Decode(string(k.ID))
		if err == nil && len(l) < maxKnown && len(k.Addrs) > 0 && len(k.Addrs) <= member.MaxAddrs && now.Sub(time.Unix(k.Seen, 0)) < knownFor {
			l[k.ID] = k
		}
	}
	return l, nil
}

// readKnown reads what earlier starts left. Without the file, or with a damaged one, there is nobody.
func (s *state) readKnown(cluster string) (map[id.Node]known, error) {
	f, err := os.Open(filepath.Join(s.dir, knownName))
	if errors.Is(err, fs.ErrNotExist) {
		return map[id.Node]known{}, nil
	}
	if err != nil {
		return map[id.Node]known{}, fmt.Errorf("p2p: remembered members: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKnownFile+1))
	if err != nil {
		return map[id.Node]known{}, fmt.Errorf("p2p: remembered members: %w", err)
	}
	return parseKnown(b, cluster, time.Now())
}

// writeKnown replaces the file.
func (s *state) writeKnown(cluster string, l map[id.Node]known) error {
	f := knownFile{Cluster: cluster}
	for _, k := range l {
		f.Peers = append(f.Peers, k)
	}
	slices.SortFunc(f.Peers, func(a, b known) int {
		return cmp.Or(cmp.Compare(b.Seen, a.Seen), strings.Compare(string(a.ID), string(b.ID)))
	})
	f.Peers = f.Peers[:min(len(f.Peers), maxKnown)]
	b, err := json.Marshal(f)
	if err == nil {
		err = writeFile(filepath.Join(s.dir, knownName), b, false)
	}
	if err != nil {
		return fmt.Errorf("p2p: writing the remembered members: %w", err)
	}
	return nil
}

// remember looks for the members of earlier starts and keeps the file of them.
func (h *Host) remember() {
	l, err := h.state.readKnown(h.cfg.Cluster)
	if err != nil {
		h.cfg.Logger.Warn("p2p: starting without the members of earlier starts", "err", err)
	}
	h.seekKnown(l)
	h.every(knownEvery, func() {
		if !h.updateKnown(l) {
			return
		}
		if err := h.state.writeKnown(h.cfg.Cluster, l); err != nil {
			h.cfg.Logger.Warn("p2p: a restart of this node will not know its peers", "err", err)
		}
	})
}

// seekKnown tells the view of remembered members.
func (h *Host) seekKnown(l map[id.Node]known) {
	for _, k := range l {
		h.step(member.Learn{ID: k.ID, Epoch: k.Epoch, Addrs: k.Addrs, Found: member.FoundBefore})
	}
}

// updateKnown brings l up to date and says whether the file should be. Those remembered are sought again while
// this node is alone: there is nobody who could tell of them.
func (h *Host) updateKnown(l map[id.Node]known) (changed bool) {
	h.mu.Lock()
	up := h.view.Members()
	h.mu.Unlock()
	if len(up) == 0 {
		h.seekKnown(l)
		return false
	}
	now := time.Now().Truncate(time.Hour).Unix() // so that the file rests when nobody comes or goes
	for _, i := range up {
		k := l[i.ID]
		if k.Epoch != i.Epoch || !slices.Equal(k.Addrs, i.Addrs) || k.Seen != now {
			l[i.ID], changed = known{i.ID, i.Epoch, i.Addrs, now}, true
		}
	}
	for len(l) > maxKnown {
		oldest := id.Node("")
		for n, k := range l {
			if o := l[oldest]; oldest == "" || k.Seen < o.Seen || k.Seen == o.Seen && n > oldest {
				oldest = n
			}
		}
		delete(l, oldest)
	}
	return changed
}
