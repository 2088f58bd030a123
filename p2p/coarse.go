package p2p

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/directory"
	"github.com/kadrehq/kadre/p2p/member"
	ma "github.com/multiformats/go-multiaddr"
)

// Coarse records: a few for each node, in the directory like those of objects. By its rendezvous record a node is
// found by those that have forgotten it: parts of a cluster that were apart for longer than the view remembers the
// dead. By providers' records it is found who has an executable.
const (
	maxProvided     = 64 // by one node
	coarseFor       = 24 * time.Hour
	coarseAgain     = time.Hour // written anew
	coarseTry       = 10 * time.Second
	withdrawFor     = 300 * time.Millisecond
	rendezvousFirst = 2 * time.Second
	rendezvousEvery = time.Minute     // the record is read again
	rendezvousEach  = 2 * time.Second // and so much later for each member: each reads about all
	soughtMost      = time.Hour       // between two tries of a node that does not answer
	maxSought       = 1 << 12
	rendezvousName  = "kadre rendezvous "
	providerName    = "kadre provider "
)

// coarse is what this node's coarse records say.
type coarse struct {
	mu  sync.Mutex
	has map[Key]bool
}

// sought is a node that was found by its record, and when it is tried again.
type sought struct {
	epoch uint64
	next  time.Time
	wait  time.Duration
}

// coarseRecord is this node's record under a key. Each node's is an object of its own, so that any number fits.
func (h *Host) coarseRecord(key Key, value string) Record {
	sub := sha256.Sum256([]byte(h.id))
	return Record{Key: key, Shard: directory.Coarse, Sub: [20]byte(sub[:20]), Value: []byte(value), Epoch: h.epoch, Expiry: time.Now().Add(coarseFor)}
}

func (h *Host) rendezvousKey() Key { return sha256.Sum256([]byte(rendezvousName + h.cfg.Cluster)) }

// Provide tells the cluster that this node has what sum names, until the node ends.
func (h *Host) Provide(ctx context.Context, sum [32]byte) error {
	key := providerKey(sum)
	h.coarse.mu.Lock()
	full := !h.coarse.has[key] && len(h.coarse.has) >= maxProvided
	if !full {
		h.coarse.has[key] = true
	}
	h.coarse.mu.Unlock()
	if full {
		return fmt.Errorf("p2p: this node provides %d things already", maxProvided)
	}
	return h.dir.Put(ctx, []Record{h.coarseRecord(key, "")})
}

// Providers are the members that have what sum names, this node not among them.
func (h *Host) Providers(ctx context.Context, sum [32]byte) (l []id.Node, err error) {
	rs, err := h.dir.GetCoarse(ctx, providerKey(sum))
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range rs {
		if h.bonds[r.Writer] != nil {
			l = append(l, r.Writer)
		}
	}
	return l, nil
}

func providerKey(sum [32]byte) Key { return sha256.Sum256(append([]byte(providerName), sum[:]...)) }

// keepCoarse writes this node's coarse records and reads where other nodes say that they are.
func (h *Host) keepCoarse() {
	t := time.NewTimer(rendezvousFirst)
	defer t.Stop()
	tried := map[id.Node]sought{}
	var written time.Time
	said := ""
	for {
		select {
		case <-t.C:
		case <-h.ctx.Done():
			return
		}
		members := len(h.Members()) - 1
		if h.RoutingTableSize() > 0 {
			if where := h.where(); where != said || time.Since(written) > coarseAgain {
				if err := h.writeCoarse(where); err == nil {
					said, written = where, time.Now()
				} else {
					h.cfg.Logger.Debug("p2p: coarse records were not written", "err", err)
				}
			}
			h.seekRecords(tried)
		}
		every := max(rendezvousEvery, time.Duration(members)*rendezvousEach)
		t.Reset(every/2 + rand.N(every))
	}
}

// where is what this node's rendezvous record says: its addresses, a line each.
func (h *Host) where() string {
	var b strings.Builder
	for _, a := range h.addrs() {
		if b.Len()+len(a) < directory.MaxValue {
			b.WriteString(a + "\n")
		}
	}
	return b.String()
}

// writeCoarse writes all coarse records of this node.
func (h *Host) writeCoarse(where string) error {
	rs := []Record{h.coarseRecord(h.rendezvousKey(), where)}
	h.coarse.mu.Lock()
	for key := range h.coarse.has {
		rs = append(rs, h.coarseRecord(key, ""))
	}
	h.coarse.mu.Unlock()
	ctx, cancel := context.WithTimeout(h.ctx, coarseTry)
	defer cancel()
	return h.dir.Put(ctx, rs)
}

// withdraw deletes the rendezvous record of a node that leaves, as far as that goes in a moment.
func (h *Host) withdraw(ctx context.Context) {
	if h.RoutingTableSize() == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, withdrawFor)
	defer cancel()
	if err := h.dir.Delete(ctx, []Record{h.coarseRecord(h.rendezvousKey(), "")}); err != nil {
		h.cfg.Logger.Debug("p2p: the record of where this node was stays until it expires", "err", err)
	}
}

// seekRecords tells the view of nodes that have a record and are none of those it knows. A node that does not answer
// is tried less and less often.
func (h *Host) seekRecords(tried map[id.Node]sought) {
	ctx, cancel := context.WithTimeout(h.ctx, coarseTry)
	defer cancel()
	rs, err := h.dir.GetCoarse(ctx, h.rendezvousKey())
	if err != nil {
		h.cfg.Logger.Debug("p2p: the records of where nodes are were not read", "err", err)
		return
	}
	now := time.Now()
	there := map[id.Node]bool{}
	for _, r := range rs {
		there[r.Writer] = true
		addrs := parseWhere(string(r.Value))
		s := tried[r.Writer]
		if r.Writer == h.id || len(addrs) == 0 || h.knows(r.Writer, r.Epoch) || s.epoch == r.Epoch && now.Before(s.next) {
			continue
		}
		if s.epoch != r.Epoch || s.wait == 0 {
			s = sought{epoch: r.Epoch, wait: rendezvousEvery}
		}
		s.next, s.wait = now.Add(s.wait), min(2*s.wait, soughtMost)
		if _, ok := tried[r.Writer]; ok || len(tried) < maxSought {
			tried[r.Writer] = s
		}
		h.step(member.Learn{ID: r.Writer, Epoch: r.Epoch, Addrs: addrs, Found: member.FoundRecord})
	}
	for n := range tried {
		if !there[n] {
			delete(tried, n)
		}
	}
}

// knows says that the view has word of this start of a node, or of a later one.
func (h *Host) knows(n id.Node, epoch uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	i, _ := h.view.Member(n)
	return i.ID != "" && i.Epoch >= epoch
}

// parseWhere reads a rendezvous record, which may say anything.
func parseWhere(s string) (addrs []string) {
	for _, a := range strings.Split(s, "\n") {
		if m, err := ma.NewMultiaddr(a); err == nil && len(addrs) < member.MaxAddrs {
			addrs = append(addrs, m.String())
		}
	}
	return addrs
}
