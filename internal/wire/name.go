package wire

import (
	"fmt"
	"unicode/utf8"

	"github.com/kadrehq/kadre/internal/id"
)

// MaxName bounds the name of an actor, its namespace, and what is told of its class, in bytes.
const MaxName = 256

// DefaultNamespace is where names are unique that say nothing else.
const DefaultNamespace = "default"

// NameOp says what is asked about a name.
type NameOp uint8

// What is asked about a name.
const (
	NameFind    NameOp = iota + 1 // who has it
	NameClaim                     // let Holder have it; the reply is whoever has it then
	NameRelease                   // Holder has it no more
)

// NameQuery asks a node about the name of an actor.
type NameQuery struct {
	_         struct{} `cbor:",toarray"`
	Op        NameOp
	Namespace string
	Name      string
	Holder    Named
}

// Named is an actor that has a name.
type Named struct {
	_     struct{} `cbor:",toarray"`
	Actor id.Actor // zero: nobody
	At    id.Addr  // where it lives
	Owner id.Addr  // the process that made it
	Job   id.Job
	Class string // the function that made its state
	State string // the Go type of its state
}

// Check says what is wrong with a query from outside.
func (q *NameQuery) Check() error {
	if q.Op < NameFind || q.Op > NameRelease {
		return fmt.Errorf("wire: a query of kind %d about a name", q.Op)
	}
	for _, s := range []string{q.Namespace, q.Name} {
		if err := CheckName(s); err != nil {
			return err
		}
	}
	if len(q.Holder.Class) > MaxName || len(q.Holder.State) > MaxName {
		return fmt.Errorf("wire: the class of a named actor takes more than %d bytes", MaxName)
	}
	return nil
}

// CheckName says what is wrong with a name or namespace.
func CheckName(s string) error {
	switch {
	case s == "":
		return fmt.Errorf("it is empty")
	case len(s) > MaxName:
		return fmt.Errorf("it takes %d bytes, at most %d", len(s), MaxName)
	case !utf8.ValidString(s):
		return fmt.Errorf("it is no UTF-8")
	}
	return nil
}
