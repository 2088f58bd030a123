package objstore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/p2p/directory"
)

// recordValue is what a record says.
type recordValue struct {
	_       struct{} `cbor:",toarray"`
	Node    id.Node
	Size    uint64
	Hash    uint64 // 0: not known
	Attempt uint32
}

// shardObjects is how many objects of an owner, in the order in which they were made, have their records in one
// place: an owner of few writes to three nodes, one of many spreads them.
const shardObjects = 4096

// shardOf is the shard of an object. Its name has its task's number.
func shardOf(o id.Object) uint16 {
	t := o.Task()
	return uint16(binary.BigEndian.Uint64(t[8:]) / shardObjects)
}

// recordKey is where the records of an owner's object are.
func recordKey(owner id.Addr, o id.Object) directory.Key {
	b := binary.BigEndian.AppendUint64([]byte(owner.Node), uint64(owner.Proc))
	return sha256.Sum256(binary.BigEndian.AppendUint16(b, shardOf(o)))
}

// Publish puts records of objects that lie on this node into the directory, soon. Objects that are
// not there are passed over.
func (s *Store) Publish(owner id.Addr, ids ...id.Object) {
	for _, o := range ids {
		s.publish(owner, o, 0)
	}
}

func (s *Store) publish(owner id.Addr, o id.Object, hash uint64) {
	if s.records == nil {
		return
	}
	i, ok := s.cfg.find(o)
	if !ok {
		return
	}
	v := recordValue{Node: s.cfg.Node, Size: uint64(i.Size), Hash: hash, Attempt: i.Attempt}
	rec := directory.Record{Key: recordKey(owner, o), Shard: shardOf(o), Sub: o, Value: wire.Marshal(&v), Epoch: s.cfg.Epoch}
	s.records.add(o, live{rec, i.Job, i.Attempt})
	if !s.cfg.has(o) {
		s.records.drop(o) // it was freed meanwhile
	}
}

// Unpublish deletes this node's records of objects, soon.
func (s *Store) Unpublish(ids ...id.Object) {
	if s.records == nil {
		return
	}
	for _, o := range ids {
		s.records.drop(o)
	}
}

// Locate asks the directory who has an object of an owner. Among records of several attempts the latest count.
func (s *Store) Locate(ctx context.Context, o id.Object, owner id.Addr) (wire.ObjectInfo, error) {
	if s.cfg.Directory == nil {
		return wire.ObjectInfo{}, fmt.Errorf("%w: %v: this node has no directory", ErrNotFound, o)
	}
	recs, err := s.cfg.Directory.Find(ctx, recordKey(owner, o), o)
	if err != nil {
		return wire.ObjectInfo{}, fmt.Errorf("objstore: locating %v: %w", o, err)
	}
	info := wire.ObjectInfo{ID: o, Owner: owner, State: wire.ObjectReady, Stored: true}
	for _, r := range recs {
		var v recordValue
		if err := wire.Unmarshal(r.Value, &v); err != nil || v.Node != r.Writer || r.Sub != o {
			s.cfg.Logger.Debug("objstore: a record that makes no sense", "object", o, "writer", r.Writer, "err", err)
			continue
		}
		if len(info.Holders) > 0 && v.Attempt < info.Attempt {
			continue
		}
		if v.Attempt > info.Attempt {
			info.Holders, info.Hash = nil, 0
		}
		info.Attempt, info.Size = v.Attempt, v.Size
		info.Holders = append(info.Holders, v.Node)
		if v.Hash != 0 {
			info.Hash = v.Hash
		}
	}
	if len(info.Holders) == 0 {
		return wire.ObjectInfo{}, fmt.Errorf("%w: %v of %v", ErrNotFound, o, owner)
	}
	return info, nil
}
