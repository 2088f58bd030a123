package objstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/kadrehq/kadre/internal/id"
)

// RequestKind is the first byte of the requests that Serve answers. The node has other kinds for other things.
const RequestKind = 'o'

const (
	requestVersion = 2
	requestBare    = 3                          // the same, and no checksum is asked for: no network is on the way
	requestLen     = 2 + 20 + 4 + 8 + 8 + 4 + 8 // and the owner's node
	maxNodeName    = 128
)

// chunkRequest asks for a part of an object; the numbers are big-endian on the wire.
type chunkRequest struct {
	id      id.Object
	attempt uint32
	size    uint64 // of the whole
	off     uint64
	n       uint32
	owner   id.Addr // who is told when the object is not there; zero: nobody
	bare    bool    // no checksum is wanted
}

func (r chunkRequest) append(b []byte) []byte {
	version := byte(requestVersion)
	if r.bare {
		version = requestBare
	}
	b = append(b, RequestKind, version)
	b = append(b, r.id[:]...)
	b = binary.BigEndian.AppendUint32(b, r.attempt)
	b = binary.BigEndian.AppendUint64(b, r.size)
	b = binary.BigEndian.AppendUint64(b, r.off)
	b = binary.BigEndian.AppendUint32(b, r.n)
	b = binary.BigEndian.AppendUint64(b, uint64(r.owner.Proc))
	return append(b, r.owner.Node...)
}

func parseChunkRequest(b []byte) (r chunkRequest, err error) {
	if len(b) < requestLen || len(b) > requestLen+maxNodeName || b[0] != RequestKind {
		return r, errors.New("objstore: not a request for a chunk")
	}
	if r.bare = b[1] == requestBare; b[1] != requestVersion && !r.bare {
		return r, fmt.Errorf("objstore: request of version %d, ours is %d: run the same version on all nodes", b[1], requestVersion)
	}
	copy(r.id[:], b[2:])
	b = b[22:]
	r.attempt, r.size = binary.BigEndian.Uint32(b), binary.BigEndian.Uint64(b[4:])
	r.off, r.n = binary.BigEndian.Uint64(b[12:]), binary.BigEndian.Uint32(b[20:])
	r.owner = id.Addr{Proc: id.Proc(binary.BigEndian.Uint64(b[24:])), Node: id.Node(b[32:])}
	if r.n > ChunkSize || r.off > r.size || uint64(r.n) > r.size-r.off {
		return r, fmt.Errorf("objstore: request for %d bytes from %d of %d", r.n, r.off, r.size)
	}
	return r, nil
}

// Serve answers another node's request for a chunk; release is to be called when the data was sent.
func (s *Store) Serve(_ id.Node, req []byte) (meta, data []byte, release func(), err error) {
	r, err := parseChunkRequest(req)
	if err != nil {
		return nil, nil, nil, err
	}
	h, ok := s.cfg.Arena.Get(r.id)
	if !ok {
		if i, ok := s.cfg.Spill.Find(r.id); ok {
			meta, data, release, err = s.serveSpilled(&r, i)
			if err == nil {
				s.served(r.n)
			}
			return meta, data, release, err
		}
		if h, ok = s.cfg.Arena.Get(r.id); !ok { // it may have been restored in between
			s.missing(&r)
		}
	}
	if !ok {
		return nil, nil, nil, fmt.Errorf("objstore: node %s has no copy of %v", s.cfg.Node.Short(), r.id)
	}
	if h.Attempt() != r.attempt || uint64(h.Size()) != r.size {
		a, n := h.Attempt(), h.Size()
		h.Release()
		return nil, nil, nil, fmt.Errorf("objstore: node %s has %v of attempt %d with %d bytes, not of attempt %d with %d",
			s.cfg.Node.Short(), r.id, a, n, r.attempt, r.size)
	}
	data = h.Bytes()[r.off : r.off+uint64(r.n)]
	s.served(r.n)
	if !r.bare {
		meta = binary.BigEndian.AppendUint32(nil, crc32.Checksum(data, castagnoli))
	}
	return meta, data, h.Release, nil
}

// served counts a chunk.
func (s *Store) served(n uint32) {
	s.chunksOut.Add(1)
	s.bytesOut.Add(uint64(n))
}
