package testnet

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/objstore"
	"github.com/kadrehq/kadre/p2p"
)

const (
	objectBytes = 64
	locateEvery = 10 * time.Millisecond // between two tries
)

// netJob is the job of the objects that a Net's nodes publish.
var netJob = id.Job{'t', 'e', 's', 't', 'n', 'e', 't'}

// OwnerOf is the owner of the objects that a node publishes: a process that it never had.
func OwnerOf(n id.Node) id.Addr { return id.Addr{Node: n, Proc: 1} }

// ObjectOf is object i of an owner: the result of its task i+1, as a process numbers them.
func ObjectOf(owner id.Addr, i int) id.Object {
	var t id.Task
	binary.BigEndian.PutUint64(t[:8], sum(owner))
	binary.BigEndian.PutUint64(t[8:], uint64(i+1))
	return t.Object(0)
}

func sum(owner id.Addr) uint64 {
	h := sha256.Sum256([]byte(owner.String() + string(owner.Node)))
	return binary.BigEndian.Uint64(h[:])
}

func content(o id.Object) []byte { return bytes.Repeat(o[:], objectBytes/len(o)+1)[:objectBytes] }

// publish seals objects First to First+N in the node's arena and publishes their locations in batches. It answers
// when, in Unix nanoseconds, each was published.
func publish(ctx context.Context, n *node.Node, o Order) (any, error) {
	owner := OwnerOf(n.ID())
	ids := make([]id.Object, o.N)
	for i := range ids {
		ids[i] = ObjectOf(owner, o.First+i)
		w, err := n.Arena().Create(ids[i], objectBytes, netJob, 0)
		if err != nil {
			return nil, err
		}
		copy(w.Bytes(), content(ids[i]))
		if _, err := w.Seal(false); err != nil {
			return nil, err
		}
	}
	at := make([]int64, 0, o.N)
	begin := time.Now()
	if o.At != 0 {
		begin = time.Unix(0, o.At)
	}
	for i := range slices.Chunk(ids, max(o.Batch, 1)) {
		if err := Until(ctx, begin.Add(time.Duration(len(at)/max(o.Batch, 1))*time.Duration(o.Every))); err != nil {
			return nil, err
		}
		now := time.Now().UnixNano()
		n.Store().Publish(owner, i...)
		for range i {
			at = append(at, now)
		}
	}
	return at, nil
}

// free deletes objects First to First+N of the node's, and their records; it answers when all its records are gone.
func free(ctx context.Context, n *node.Node, o Order) (any, error) {
	owner := OwnerOf(n.ID())
	ids := make([]id.Object, o.N)
	for i := range ids {
		ids[i] = ObjectOf(owner, o.First+i)
	}
	n.Store().Free(ids)
	for {
		if d := n.Status().Directory; n.Store().Stats().Published == 0 && d.Own == 0 && d.Owed == 0 {
			return o.N, nil
		}
		if err := Until(ctx, time.Now().Add(locateEvery)); err != nil {
			return nil, err
		}
	}
}

// Located is when a node found the location of an object.
type Located struct {
	I     int
	Began int64 // Unix nanoseconds: the first try
	At    int64 // Unix nanoseconds
	Tries int
}

// locate finds N objects of an owner, drawn from the Span from First on, or all with N 0: each from the moment on when
// it is to be published (At, Batch and Every as for publish), again and again until it is found.
func locate(ctx context.Context, n *node.Node, o Order) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.For))
	defer cancel()
	which := rand.New(rand.NewPCG(o.Seed, 0)).Perm(o.Span)
	if o.N > 0 {
		which = which[:o.N]
	}
	if o.At != 0 {
		slices.Sort(which)
	}
	found := make([]Located, 0, len(which))
	for _, i := range which {
		if o.At != 0 {
			if err := Until(ctx, time.Unix(0, o.At).Add(time.Duration(i/max(o.Batch, 1))*time.Duration(o.Every))); err != nil {
				return nil, err
			}
		}
		l, err := locateOne(ctx, n, o, i)
		if err != nil {
			return nil, err
		}
		found = append(found, l)
	}
	return found, nil
}

func locateOne(ctx context.Context, n *node.Node, o Order, i int) (Located, error) {
	l := Located{I: i, Began: time.Now().UnixNano()}
	for {
		l.Tries++
		_, err := n.Store().Locate(ctx, ObjectOf(o.Owner, o.First+i), o.Owner)
		switch {
		case err == nil:
			l.At = time.Now().UnixNano()
			return l, nil
		case ctx.Err() != nil:
			return l, fmt.Errorf("testnet: object %d of %v was not found within %v: %w", o.First+i, o.Owner, time.Duration(o.For), err)
		}
		if err := Until(ctx, time.Now().Add(locateEvery)); err != nil {
			return l, err
		}
	}
}

// tally counts the objects of an owner, Span from First on, that have records.
func tally(ctx context.Context, n *node.Node, o Order) (any, error) {
	got := 0
	for i := range o.Span {
		_, err := n.Store().Locate(ctx, ObjectOf(o.Owner, o.First+i), o.Owner)
		switch {
		case err == nil:
			got++
		case !errors.Is(err, objstore.ErrNotFound):
			return nil, err
		}
	}
	return got, nil
}

// pull brings N objects of an owner here and compares their bytes.
func pull(ctx context.Context, n *node.Node, o Order) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(o.For))
	defer cancel()
	for i := range o.N {
		obj := ObjectOf(o.Owner, o.First+i)
		info, err := n.Store().Locate(ctx, obj, o.Owner)
		if err == nil {
			info.Job = netJob
			err = n.Store().Pull(ctx, info)
		}
		if err != nil {
			return nil, fmt.Errorf("testnet: object %d of %v: %w", o.First+i, o.Owner, err)
		}
		h, ok := n.Arena().Get(obj)
		if !ok {
			return nil, fmt.Errorf("testnet: object %d of %v was pulled and is not here", o.First+i, o.Owner)
		}
		same := bytes.Equal(h.Bytes(), content(obj))
		h.Release()
		if !same {
			return nil, fmt.Errorf("testnet: object %d of %v has other bytes", o.First+i, o.Owner)
		}
	}
	return o.N, nil
}

// Took is how long one request took, and what became of it.
type Took struct {
	At  int64 // Unix nanoseconds: when it began
	For time.Duration
	Err string `json:",omitempty"`
}

// put writes N records under keys that were never used, one after the other.
func put(ctx context.Context, n *node.Node, o Order) (any, error) {
	return repeat(ctx, o, func(ctx context.Context, key p2p.Key) error {
		return n.Directory().Put(ctx, []p2p.Record{{Key: key, Value: key[:], Epoch: 1, Expiry: time.Now().Add(time.Minute)}})
	})
}

// miss looks for N records that there are not.
func miss(ctx context.Context, n *node.Node, o Order) (any, error) {
	return repeat(ctx, o, func(ctx context.Context, key p2p.Key) error {
		rs, err := n.Directory().Get(ctx, key)
		if err == nil && len(rs) > 0 {
			err = fmt.Errorf("testnet: a record under a random key")
		}
		return err
	})
}

// ping asks another node for nothing: control round trips.
func ping(ctx context.Context, n *node.Node, o Order) (any, error) {
	return repeat(ctx, o, func(ctx context.Context, _ p2p.Key) error { return n.Directory().Ping(ctx, o.Node) })
}

// repeat does something N times, or until For has passed, with the pause Every.
func repeat(ctx context.Context, o Order, f func(context.Context, p2p.Key) error) (all []Took, err error) {
	r := rand.New(rand.NewPCG(o.Seed, uint64(o.Do[0]))) // put and miss draw other keys
	end := time.Now().Add(time.Duration(o.For))
	for i := 0; i < o.N && (o.For == 0 || time.Now().Before(end)); i++ {
		var key p2p.Key
		for j := range key {
			key[j] = byte(r.Uint32())
		}
		begin := time.Now()
		err := f(ctx, key)
		t := Took{At: begin.UnixNano(), For: time.Since(begin)}
		if err != nil {
			t.Err = err.Error()
		}
		all = append(all, t)
		if err := Until(ctx, begin.Add(time.Duration(o.Every))); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Until waits for a moment, or gives the cause of ctx's end.
func Until(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
