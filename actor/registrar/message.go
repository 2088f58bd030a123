package registrar

import (
	"errors"
	"fmt"

	"github.com/kadrehq/kadre/internal/wire"
)

// Bounds of messages and of what registrars keep.
const (
	MaxKey       = 600       // bytes of a register's key
	MaxInfo      = 2 << 10   // bytes of a Holder's Info
	maxMembers   = 7         // registrars of a configuration; 5 at most are wanted
	maxNode      = 256       // bytes of a node's name
	maxRegisters = 8192      // of one configuration
	maxBytes     = 640 << 10 // of all of its registers, so that they fit a message
)

// Kind is what a message is.
type Kind uint8

// The kinds of messages. Those of a proposer carry Op and Ballot, which the answers repeat.
const (
	Query        Kind = iota + 1 // what have you accepted? Answered by Promise
	Prepare                      // take nothing below Ballot for Key
	Promise                      // I shall not; Accepted and Value are what I have
	Accept                       // take Value
	Accepted                     // I have
	Refuse                       // no: Why, and Accepted is what I promised
	SealPrepare                  // take no more proposals: the configuration is to change
	SealPromise                  // I shall not; State, and the change that I accepted, if any
	SealAccept                   // Config is next, and begins with State
	SealAccepted                 // yes
	Start                        // you are a registrar of Config, which begins with State
	Started                      // I am
	News                         // Config is what counts
)

// Reasons to refuse.
const (
	lowBallot = iota + 1
	wedged    // the configuration is about to change
	full      // there are too many registers
	quiet     // names of a line that was lost may still be held
)

// Message goes from a machine to another one. Conf is the configuration that it is about.
type Message struct {
	_        struct{} `cbor:",toarray"`
	Kind     Kind
	Conf     Conf
	Op       uint64
	Key      string
	Ballot   Ballot
	Fresh    bool // Prepare: it is for a holder that has not held the name before
	Why      uint8
	Accepted Ballot
	Value    Value
	Config   *Config
	State    []Register
}

// ErrMessage is matched by Parse's errors.
var ErrMessage = errors.New("registrar: bad message")

// Append encodes m.
func (m *Message) Append(b []byte) []byte { return append(b, wire.Marshal(m)...) }

// Parse decodes a message from outside.
func Parse(b []byte) (m Message, err error) {
	if err := wire.Unmarshal(b, &m); err != nil {
		return Message{}, fmt.Errorf("%w: %w", ErrMessage, err)
	}
	if why := m.wrong(); why != "" {
		return Message{}, fmt.Errorf("%w: %s", ErrMessage, why)
	}
	return m, nil
}

func (m *Message) wrong() string {
	switch m.Kind {
	case Query, Prepare, Accept:
		if !goodKey(m.Key) {
			return "a register's key is none"
		}
	case SealAccept, Start, News:
		if m.Config == nil {
			return "a configuration is missing"
		}
	default:
		if m.Kind == 0 || m.Kind > News {
			return "its kind is unknown"
		}
	}
	if c := m.Config; c != nil && (len(c.Members) == 0 || len(c.Members) > maxMembers || !fair(c)) {
		return "a configuration has too few members, too many, or one twice"
	}
	if !m.Value.fits() || len(m.State) > maxRegisters {
		return "a value is too large, or there are too many"
	}
	for i := range m.State {
		if r := &m.State[i]; !goodKey(r.Key) || !r.Value.fits() {
			return "a register is none"
		}
	}
	return ""
}

func goodKey(k string) bool {
	return k != "" && len(k) <= MaxKey && (k[:1] == nameMark || k[:1] == leaseMark)
}

func fair(c *Config) bool {
	for i, m := range c.Members {
		if len(m.Node) > maxNode {
			return false
		}
		for _, o := range c.Members[:i] {
			if o.Node == m.Node {
				return false
			}
		}
	}
	return true
}

func (v *Value) fits() bool {
	return len(v.Holder.Info) <= MaxInfo && len(v.Holder.Lease.At.Node) <= maxNode
}
