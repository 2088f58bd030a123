package p2p

import (
	"context"
	"errors"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/directory"
	ma "github.com/multiformats/go-multiaddr"
)

const maxCluster = 64

var errUnfinished = errors.New("p2p: not built yet")

type Host struct{}

type Directory = directory.Directory

type Status struct{}

func (Status) String() string { return "" }

func splitPeer(m ma.Multiaddr) (ma.Multiaddr, string) { return m, "" }

func Start(ctx context.Context, cfg Config) (*Host, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	return nil, errUnfinished
}
func (h *Host) ID() id.Node                         { return "" }
func (h *Host) Epoch() uint64                       { return 0 }
func (h *Host) Addrs() []string                     { return nil }
func (h *Host) Send(to id.Node, frame []byte) error { return errUnfinished }
func (h *Host) Fetch(ctx context.Context, from id.Node, req []byte, land func(meta []byte, n int) ([]byte, error)) (meta []byte, n int, err error) {
	return nil, 0, errUnfinished
}
func (h *Host) Members() []Member               { return nil }
func (h *Host) UpdateMeta(meta []byte) error    { return errUnfinished }
func (h *Host) Directory() *Directory           { return nil }
func (h *Host) RoutingTableSize() int           { return 0 }
func (h *Host) Status() Status                  { return Status{} }
func (h *Host) Leave(ctx context.Context) error { return errUnfinished }
func (h *Host) Close() error                    { return errUnfinished }
