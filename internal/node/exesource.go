package node

import (
	"context"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const provideFor = 10 * time.Second // to write a record, or to read those of an executable

// exeSources is where pieces of an executable are fetched from: in turn from those that say that they have it, and
// from the job's home when none of them is left, since all who run the job ask the home first.
type exeSources struct {
	others []id.Node
	home   id.Node
}

func (n *Node) exeSources(ctx context.Context, d *wire.Job) *exeSources {
	ctx, cancel := context.WithTimeout(ctx, provideFor)
	defer cancel()
	l, err := n.host.Providers(ctx, d.SHA256)
	if err != nil {
		n.log.Debug("node: who else has an executable is not known", "err", err)
	}
	l = slices.DeleteFunc(l, func(o id.Node) bool { return o == d.Home || o == n.id })
	rand.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
	return &exeSources{l, d.Home}
}

// of is whose turn it is.
func (s *exeSources) of(turn int) id.Node {
	if len(s.others) == 0 {
		return s.home
	}
	return s.others[turn%len(s.others)]
}

// without leaves a source out that failed. It says whether there is another one.
func (s *exeSources) without(o id.Node) bool {
	s.others = slices.DeleteFunc(s.others, func(m id.Node) bool { return m == o })
	return o != s.home
}

// provideExe tells the cluster that this node has an executable.
func (n *Node) provideExe(sum [32]byte) {
	ctx, cancel := context.WithTimeout(n.ctx, provideFor)
	defer cancel()
	if err := n.host.Provide(ctx, sum); err != nil {
		n.log.Debug("node: others do not learn that this node has an executable", "err", err)
		return
	}
	n.event("exe", "provided", "", 0, hex.EncodeToString(sum[:4]))
}

// provideExes does so for those that an earlier start has left.
func (n *Node) provideExes() {
	files, _ := os.ReadDir(filepath.Join(n.state, exeDir)) // what cannot be listed is not provided
	for _, f := range files {
		if b, err := hex.DecodeString(f.Name()); err == nil && len(b) == 32 {
			n.provideExe([32]byte(b))
		}
	}
}
