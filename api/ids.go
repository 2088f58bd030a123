package api

import (
	"encoding/hex"

	"github.com/kadrehq/kadre/internal/id"
)

// None is the result of functions that return only an error.
type None = struct{}

// NodeID names a node. It stays the same when the node starts again with its state folder.
type NodeID string

// JobID names a job: one run of a driver.
type JobID string

// TaskID names a task.
type TaskID string

// ActorID names an actor.
type ActorID [16]byte

func (a ActorID) String() string { return "ActorID(" + hex.EncodeToString(a[:]) + ")" }

// ObjectID names an object.
type ObjectID [20]byte

func (o ObjectID) String() string { return "ObjectID(" + hex.EncodeToString(o[:]) + ")" }

// nodeID and its like turn inner names into those of users; the zero name stays empty.
func nodeID(n id.Node) NodeID { return NodeID(n) }

func jobID(j id.Job) JobID {
	if j == (id.Job{}) {
		return ""
	}
	return JobID(j.String())
}

func taskID(t id.Task) TaskID {
	if t.IsZero() {
		return ""
	}
	return TaskID(t.String())
}
