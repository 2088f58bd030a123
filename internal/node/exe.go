package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	exeKind   = 'x'     // first byte of a bulk request for a piece of an executable
	exePiece  = 4 << 20 // bytes of one request
	maxExe    = 4 << 30 // bytes of an executable
	exeAskLen = 1 + sha256.Size + 8
)

// exeFile is where an executable of another node is kept.
func (n *Node) exeFile(sum [32]byte) string {
	return filepath.Join(n.state, exeDir, hex.EncodeToString(sum[:]))
}

// fetchExe gives the executable of a job of another node, from the cache, from nodes that have it or from the job's
// home; from then on this node is one of those.
func (n *Node) fetchExe(ctx context.Context, d *wire.Job) (*os.File, error) {
	path := n.exeFile(d.SHA256)
	if f, err := os.Open(path); err == nil {
		return f, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("node: cached executable: %w", err)
	}
	if d.Size <= 0 || d.Size > maxExe {
		return nil, fmt.Errorf("node: executable of %d bytes: at most %d", d.Size, int64(maxExe))
	}
	if n.host == nil {
		return nil, fmt.Errorf("node: a private node has nobody to get an executable from")
	}
	f, err := os.CreateTemp(filepath.Dir(path), "*.tmp")
	if err != nil {
		return nil, fmt.Errorf("node: fetching an executable: %w", err)
	}
	defer os.Remove(f.Name())
	h := sha256.New()
	err = n.fetchPieces(ctx, d, f, h)
	if err == nil {
		err = f.Chmod(0o700)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return nil, fmt.Errorf("node: fetching the executable of job %v of node %s: %w", d.Job, d.Home.Short(), err)
	}
	if !bytes.Equal(h.Sum(nil), d.SHA256[:]) {
		return nil, fmt.Errorf("node: the executable of job %v of node %s has another checksum than it should", d.Job, d.Home.Short())
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return nil, fmt.Errorf("node: fetching an executable: %w", err)
	}
	n.event("exe", "fetched", d.Home.Short(), d.Size, hex.EncodeToString(d.SHA256[:4]))
	n.spawn(func() { n.provideExe(d.SHA256) })
	return os.Open(path)
}

func (n *Node) fetchPieces(ctx context.Context, d *wire.Job, f *os.File, h hash.Hash) error {
	from := n.exeSources(ctx, d)
	buf := make([]byte, min(exePiece, d.Size))
	for at, turn := int64(0), 0; at < d.Size; turn++ {
		b := buf[:min(exePiece, d.Size-at)]
		source := from.of(turn)
		if err := n.fetchPiece(ctx, source, d, at, b); err != nil {
			if ctx.Err() != nil || !from.without(source) {
				return fmt.Errorf("from node %s: %w", source.Short(), err)
			}
			n.log.Debug("node: a node that should have an executable does not give it", "node", source, "err", err)
			continue
		}
		h.Write(b)
		if _, err := f.Write(b); err != nil {
			return err
		}
		at += int64(len(b))
	}
	return nil
}

// fetchPiece fills b with the bytes at a place of an executable.
func (n *Node) fetchPiece(ctx context.Context, source id.Node, d *wire.Job, at int64, b []byte) error {
	_, got, err := n.host.Fetch(ctx, source, exeRequest(d.SHA256, at), func(_ []byte, size int) ([]byte, error) {
		if size != len(b) {
			return nil, fmt.Errorf("node: a piece of %d bytes came, %d were asked for", size, len(b))
		}
		return b, nil
	})
	if err == nil && got != len(b) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func exeRequest(sum [32]byte, at int64) []byte {
	b := append([]byte{exeKind}, sum[:]...)
	return binary.LittleEndian.AppendUint64(b, uint64(at))
}

// serveBulk answers the bulk requests of other nodes.
func (n *Node) serveBulk(from id.Node, req []byte) (meta, data []byte, release func(), err error) {
	if !n.early.isOpen() {
		return nil, nil, nil, errors.New("node: the node is starting and has nothing yet")
	}
	if len(req) > 0 && req[0] == exeKind {
		data, err = n.serveExe(req)
		return nil, data, nil, err
	}
	return n.store.Serve(from, req)
}

// serveExe reads a piece of an executable that a job of ours runs, or that we have cached.
func (n *Node) serveExe(req []byte) ([]byte, error) {
	if len(req) != exeAskLen {
		return nil, fmt.Errorf("node: executable: request of %d bytes, want %d", len(req), exeAskLen)
	}
	sum := [32]byte(req[1:])
	at := int64(binary.LittleEndian.Uint64(req[1+len(sum):]))
	f, err := n.openServed(sum)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	s, err := f.Stat()
	if err != nil || at < 0 || at >= s.Size() {
		return nil, fmt.Errorf("node: executable: nothing at byte %d (%v)", at, err)
	}
	b := make([]byte, min(exePiece, s.Size()-at))
	if _, err := f.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("node: executable: %w", err)
	}
	n.stats.exeSent.Add(uint64(len(b)))
	return b, nil
}

// openServed opens an executable by its checksum; a descriptor of its own, since the job may end meanwhile.
func (n *Node) openServed(sum [32]byte) (*os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, j := range n.jobs {
		if j.ready && j.exe != nil && j.desc.SHA256 == sum {
			return os.Open(exePath(j.exe))
		}
	}
	f, err := os.Open(n.exeFile(sum))
	if err != nil {
		return nil, fmt.Errorf("node: node %s has no executable %x", n.id.Short(), sum[:4])
	}
	return f, nil
}
