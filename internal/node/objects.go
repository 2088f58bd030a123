package node

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
)

// maxListed bounds the objects in one answer.
const maxListed = 2000

// stateSpilled is the state of an object that is in a file and not in the arena.
const stateSpilled = "SPILLED"

// ObjectPage is a part of the list of a node's objects. Objects that come or go while it is read may or may not
// be in it; each of the others is, once.
type ObjectPage struct {
	Total   ObjectTotal    `json:"total"` // in the first part only
	Objects []ObjectStatus `json:"objects"`
	Next    string         `json:"next,omitempty"` // ask for the view "objects" + Next for more; "" at the end
}

// ObjectTotal counts the objects of a node.
type ObjectTotal struct {
	Objects int   `json:"objects"` // in the arena or in files
	Bytes   int64 `json:"bytes"`
	Spilled int   `json:"spilled"` // in files only
}

// Add adds another node's.
func (t *ObjectTotal) Add(u ObjectTotal) {
	t.Objects, t.Bytes, t.Spilled = t.Objects+u.Objects, t.Bytes+u.Bytes, t.Spilled+u.Spilled
}

// ObjectStatus is an object in the arena, or in a file.
type ObjectStatus struct {
	ID        string  `json:"id"`
	State     string  `json:"state"`
	Size      int64   `json:"size"`
	Job       string  `json:"job"`
	Attempt   uint32  `json:"attempt"`
	UnusedSec float64 `json:"unused_sec"` // since a process that did not hold it took it, or since it was created; 0 in a file
	Holders   []int   `json:"holders"`    // processes
	Node      id.Node `json:"node"`
}

// The list goes over the entries of the arena and then over the files. Where to go on is ":m" and an entry, or ":f"
// and the last object in a file.
const (
	cursorMemory = ":m"
	cursorFiles  = ":f"
)

// objects gives the part of the list that a cursor leads to, with at most most objects.
func (n *Node) objects(cursor string, most int) (p ObjectPage, err error) {
	p.Objects = []ObjectStatus{}
	if at, ok := strings.CutPrefix(cursor, cursorFiles); ok {
		var after id.Object
		if k, err := hex.Decode(after[:], []byte(at[:min(len(at), 2*len(after))])); err != nil || k != 0 && k != len(after) {
			return p, fmt.Errorf("node: %q is not where a list of objects goes on", cursor)
		}
		return n.objectsInFiles(p, after, most), nil
	}
	from := uint64(0)
	if cursor == "" {
		p.Total = n.objectTotal()
	} else {
		at, ok := strings.CutPrefix(cursor, cursorMemory)
		if from, err = strconv.ParseUint(at, 10, 32); err != nil || !ok {
			return p, fmt.Errorf("node: %q is not where a list of objects goes on", cursor)
		}
	}
	clients := n.clients()
	next := n.arena.ListFrom(uint32(from), func(e arena.Entry) bool {
		p.Objects = append(p.Objects, n.objectStatus(e, clients))
		return len(p.Objects) < most
	})
	if next == 0 {
		return n.objectsInFiles(p, id.Object{}, most-len(p.Objects)), nil
	}
	p.Next = cursorMemory + strconv.FormatUint(uint64(next), 10)
	return p, nil
}

func (n *Node) objectTotal() (t ObjectTotal) {
	a := n.arena.Tally()
	t.Objects, t.Bytes = a.Objects, a.Bytes
	n.store.EachSpilled(func(i spill.Info) { t.Add(ObjectTotal{1, i.Size, 1}) })
	return t
}

// objectStatus is an entry of the arena in words of the outside.
func (n *Node) objectStatus(e arena.Entry, clients map[int]HolderStatus) ObjectStatus {
	o := ObjectStatus{ID: e.ID.String(), State: e.State, Size: e.Size, Job: e.Job.String(), Attempt: e.Attempt, Holders: []int{}, Node: n.id}
	o.UnusedSec = unusedSec(e)
	for _, c := range e.Holders {
		o.Holders = append(o.Holders, clients[c].PID)
	}
	return o
}

func unusedSec(e arena.Entry) float64 {
	if e.LastUse.IsZero() {
		return 0
	}
	return max(time.Since(e.LastUse).Seconds(), 0)
}

// objectsInFiles adds up to most objects that are in files only to a part of the list.
func (n *Node) objectsInFiles(p ObjectPage, after id.Object, most int) ObjectPage {
	is, last := n.store.ListSpilled(after, max(most, 1))
	for _, i := range is {
		p.Objects = append(p.Objects, ObjectStatus{ID: i.ID.String(), State: stateSpilled, Size: i.Size, Job: i.Job.String(), Attempt: i.Attempt, Holders: []int{}, Node: n.id})
	}
	if len(is) > 0 {
		p.Next = cursorFiles + last.String()
	}
	return p
}
