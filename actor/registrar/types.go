package registrar

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/kadrehq/kadre/internal/id"
)

// Member is one start of a node.
type Member struct {
	_     struct{} `cbor:",toarray"`
	Node  id.Node
	Epoch uint64
}

func (m Member) compare(o Member) int {
	return cmp.Or(cmp.Compare(m.Epoch, o.Epoch), cmp.Compare(m.Node, o.Node))
}

// Genesis names a line of configurations by the member that founded it.
type Genesis struct {
	_   struct{} `cbor:",toarray"`
	By  Member
	Nth uint32 // of those that it has founded
}

// Conf names a configuration. Of two the later one counts: that of a higher era, else of the lower genesis, else the
// higher number.
type Conf struct {
	_       struct{} `cbor:",toarray"`
	Era     uint32   // how many lines were lost before it
	Genesis Genesis
	Number  uint64
}

// After says whether c counts and not o.
func (c Conf) After(o Conf) bool {
	return cmp.Or(cmp.Compare(c.Era, o.Era), -c.Genesis.By.compare(o.Genesis.By), -cmp.Compare(c.Genesis.Nth, o.Genesis.Nth), cmp.Compare(c.Number, o.Number)) > 0
}

// line is what the configurations of one founding share.
func (c Conf) line() Conf { c.Number = 0; return c }

func (c Conf) String() string {
	return fmt.Sprintf("%d of %s.%d.%d", c.Number, c.Genesis.By.Node.Short(), c.Era, c.Genesis.Nth)
}

// Config says who the registrars are.
type Config struct {
	_       struct{} `cbor:",toarray"`
	Conf    Conf
	Members []Member
}

func (c *Config) has(m Member) bool { return slices.Contains(c.Members, m) }

func (c *Config) majority() int { return len(c.Members)/2 + 1 }

// Ballot orders proposals. The zero Ballot comes before all.
type Ballot struct {
	_     struct{} `cbor:",toarray"`
	Round uint64
	By    Member
}

func (b Ballot) compare(o Ballot) int {
	return cmp.Or(cmp.Compare(b.Round, o.Round), b.By.compare(o.By))
}

// Lease is a member's leave to hold names: one of several that it gets one after the other.
type Lease struct {
	_    struct{} `cbor:",toarray"`
	At   Member
	Term uint64
}

// Holder is an actor that has a name. Info is the shell's.
type Holder struct {
	_     struct{} `cbor:",toarray"`
	Lease Lease
	Actor id.Actor // zero: nobody
	Info  []byte
}

// Value is what a register holds: who has a name, or how often a lease was renewed and whether it is over.
type Value struct {
	_      struct{} `cbor:",toarray"`
	Holder Holder
	Count  uint64
	Over   bool
}

// Register is a register as it was accepted.
type Register struct {
	_        struct{} `cbor:",toarray"`
	Key      string
	Accepted Ballot
	Value    Value
}

// Keys of registers: a name's is nameMark and what the shell gave, a lease's is leaseMark and the lease.
const (
	nameMark  = "n"
	leaseMark = "l"
)

func leaseKey(l Lease) string {
	return fmt.Sprintf("%s%s/%d/%d", leaseMark, l.At.Node, l.At.Epoch, l.Term)
}

func isName(key string) bool { return key[:1] == nameMark }
