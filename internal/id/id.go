package id

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"sync/atomic"
)

// Node names a node: the text form of its libp2p peer ID. It stays the same when a node restarts under its key.
type Node string

// Short is the end of the name, for people.
func (n Node) Short() string {
	if len(n) > 8 {
		return string(n[len(n)-8:])
	}
	return string(n)
}

// Proc names one start of one process attached to a node. It is random and never reused; 0 is the node itself.
type Proc uint64

func (p Proc) String() string { return fmt.Sprintf("%016x", uint64(p)) }

// NewProc draws a Proc.
func NewProc() Proc {
	for {
		var b [8]byte
		rand.Read(b[:]) // never fails
		if p := Proc(binary.BigEndian.Uint64(b[:])); p != 0 {
			return p
		}
	}
}

// Addr is where a message goes: a process of a node, or with Proc 0 the node itself.
type Addr struct {
	Node Node
	Proc Proc
}

func (a Addr) String() string {
	if a.Proc == 0 {
		return a.Node.Short()
	}
	return a.Node.Short() + "/" + a.Proc.String()
}

// IsZero says whether a names nothing.
func (a Addr) IsZero() bool { return a == Addr{} }

// Job names a job: one driver's run.
type Job [8]byte

func (j Job) String() string { return hex.EncodeToString(j[:]) }

// NewJob draws a Job.
func NewJob() (j Job) { rand.Read(j[:]); return j }

// Task names a task: 8 bytes of its submitter's Proc, then a count, both big-endian.
type Task [16]byte

func (t Task) String() string { return hex.EncodeToString(t[:]) }

// Of is the Proc that submitted t.
func (t Task) Of() Proc { return Proc(binary.BigEndian.Uint64(t[:8])) }

// Num is t's number among those of its submitter.
func (t Task) Num() uint64 { return binary.BigEndian.Uint64(t[8:]) }

// Plus is the task of the same submitter whose number is higher by n.
func (t Task) Plus(n uint64) Task {
	binary.BigEndian.PutUint64(t[8:], t.Num()+n)
	return t
}

// IsZero says whether t names nothing.
func (t Task) IsZero() bool { return t == Task{} }

// Object names a result: its task, then the result's index, big-endian.
type Object [20]byte

func (o Object) String() string { return hex.EncodeToString(o[:]) }

// IsZero says whether o names nothing.
func (o Object) IsZero() bool { return o == Object{} }

// Task is the task that makes o.
func (o Object) Task() (t Task) { copy(t[:], o[:16]); return t }

// Index says which of its task's results o is.
func (o Object) Index() uint32 { return binary.BigEndian.Uint32(o[16:]) }

// Object is result i of t.
func (t Task) Object(i uint32) (o Object) {
	copy(o[:], t[:])
	binary.BigEndian.PutUint32(o[16:], i)
	return o
}

// Group names a placement group.
type Group [16]byte

func (g Group) String() string { return hex.EncodeToString(g[:]) }

// Short names it for people: the begin of the process that made it, and its number there.
func (g Group) Short() string {
	return hex.EncodeToString(g[:4]) + "/" + strconv.FormatUint(binary.BigEndian.Uint64(g[8:]), 16)
}

// IsZero says that it names none.
func (g Group) IsZero() bool { return g == Group{} }

// Actor names an actor.
type Actor [16]byte

func (a Actor) String() string { return hex.EncodeToString(a[:]) }

// IsZero says whether a names nothing.
func (a Actor) IsZero() bool { return a == Actor{} }

// Source gives the IDs of one process. It is safe for concurrent use.
type Source struct {
	proc Proc
	n    atomic.Uint64
}

// NewSource starts at task 1 of p.
func NewSource(p Proc) *Source { return &Source{proc: p} }

// Task gives the next task ID.
func (s *Source) Task() Task { return TaskOf(s.proc, s.Next()) }

// Next gives the number of the next task ID.
func (s *Source) Next() uint64 { return s.n.Add(1) }

// Several gives the first of n numbers of task IDs that follow each other.
func (s *Source) Several(n int) (first uint64) { return s.n.Add(uint64(n)) - uint64(n) + 1 }

// TaskOf is task n of p.
func TaskOf(p Proc, n uint64) (t Task) {
	binary.BigEndian.PutUint64(t[:8], uint64(p))
	binary.BigEndian.PutUint64(t[8:], n)
	return t
}

// Group gives the next ID of a placement group.
func (s *Source) Group() Group { return Group(s.Task()) }

// Actor gives the next actor ID.
func (s *Source) Actor() Actor { return Actor(s.Task()) }
