package owner

import "github.com/kadrehq/kadre/internal/id"

// Action is one thing to do: Ready, Lost, Remake, Refuse, Free, ReleaseContained, GiveUp or Forget.
type Action interface{ action() }

// Ready says that the outcome is known (the record is Ready or Failed) and waiters can be answered.
type Ready struct{ ID id.Object }

// Lost says that no copy is left and that the object cannot be made again; waiters get that error. It is also
// the answer to wanting an object without a record.
type Lost struct {
	ID  id.Object
	Why Loss
}

// Remake asks for the object's task to be submitted again as this attempt. Arguments that are gone get a
// Remake of their own among the same actions.
type Remake struct {
	ID      id.Object
	Attempt uint32
}

// Refuse asks to delete the copy that a late or second seal left on a node.
type Refuse struct {
	ID      id.Object
	Attempt uint32
	Node    id.Node
}

// Free asks to delete copies that nobody refers to.
type Free struct {
	ID      id.Object
	Attempt uint32
	Nodes   []id.Node
}

// ReleaseContained gives back one hold on each of these objects, which a value contained.
type ReleaseContained struct{ IDs []id.Object }

// GiveUp says that the object will not be made again: there is too much lineage, and its is the oldest. The
// specification can go.
type GiveUp struct{ ID id.Object }

// Forget says that the record is gone: what the shell keeps for the object (value, error, specification) can go.
type Forget struct{ ID id.Object }

func (Ready) action()            {}
func (Lost) action()             {}
func (Remake) action()           {}
func (Refuse) action()           {}
func (Free) action()             {}
func (ReleaseContained) action() {}
func (GiveUp) action()           {}
func (Forget) action()           {}
