package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
)

// Short frames are what a task costs between two processes of a node that are linked: no envelope, no names. A
// slot is the sender's number for a task that is out, until its Done; a function is named once and numbered.
// Their first byte is no version of a [Frame].
const (
	ShortCall      = 0x81 + iota // a task to run: Call, then its arguments
	ShortDone                    // how it ended: Ended, then its result
	ShortName                    // the name of a function: its number, then the name
	ShortAdopt                   // the slot of a task that goes on as one with a specification and a record
	ShortCancel                  // the slot of a task whose outcome nobody wants any more; its Done comes all the same
	ShortCancelAll               // the same, and what it has started ends with it
)

// Limits of short frames.
const (
	MaxSlots     = 1 << 16 // tasks that one process has out at another
	MaxFuncs     = 1 << 16 // functions that are named on one link
	MaxShortArgs = 32 << 10
)

// IsShort tells short frames from others.
func IsShort(b []byte) bool { return len(b) > 0 && b[0] >= ShortCall && b[0] < shortAfter }

// Call is the head of a ShortCall.
type Call struct {
	Slot uint32
	Func uint32
	Num  uint64        // of the task among its owner's
	CPU  uint32        // thousandths; 1000 where nothing else is said
	Left time.Duration // until the deadline; 0: none

	Bound uint64 // number of the context that bounds it, of the sender's; 0: none
}

const (
	callCPU = 1 << iota
	callLeft
	callBound
)

// Append adds the head to b; the arguments follow.
func (c *Call) Append(b []byte) []byte {
	var flags byte
	if c.CPU != 1000 {
		flags |= callCPU
	}
	if c.Left > 0 {
		flags |= callLeft
	}
	if c.Bound != 0 {
		flags |= callBound
	}
	b = append(b, ShortCall, flags)
	b = binary.AppendUvarint(b, uint64(c.Slot))
	b = binary.AppendUvarint(b, uint64(c.Func))
	b = binary.AppendUvarint(b, c.Num)
	if flags&callCPU != 0 {
		b = binary.AppendUvarint(b, uint64(c.CPU))
	}
	if flags&callLeft != 0 {
		b = binary.AppendUvarint(b, uint64(c.Left))
	}
	if flags&callBound != 0 {
		b = binary.AppendUvarint(b, c.Bound)
	}
	return b
}

// ParseCall takes the head off b, which is a ShortCall; args are a part of b.
func ParseCall(b []byte) (c Call, args []byte, err error) {
	r := reader{b: b[1:]}
	flags := r.u8()
	c.Slot = r.small(MaxSlots)
	c.Func = r.small(MaxFuncs)
	c.Num = r.uv()
	c.CPU = 1000
	if flags&callCPU != 0 {
		c.CPU = r.small(1 << 31)
	}
	if flags&callLeft != 0 {
		c.Left = time.Duration(r.uv())
	}
	if flags&callBound != 0 {
		c.Bound = r.uv()
	}
	if r.err == nil && c.Left < 0 {
		r.fail(ErrLimit)
	}
	args = r.b
	return c, args, shortError("call", r.err)
}

// Ended is the head of a ShortDone.
type Ended struct {
	Slot  uint32
	Named bool          // the task knows its ID
	Bare  bool          // the result has no head; see codec
	Error bool          // it is an ErrorRecord
	Took  time.Duration // sampled; 0: not measured
}

const (
	doneNamed = 1 << iota
	doneBare
	doneError
	doneTook
)

// Append adds the head to b; the result follows.
func (d *Ended) Append(b []byte) []byte {
	b = append(b, ShortDone, d.flags())
	b = binary.AppendUvarint(b, uint64(d.Slot))
	if d.Took > 0 {
		b = binary.AppendUvarint(b, uint64(d.Took))
	}
	return b
}

// ParseDone takes the head off b, which is a ShortDone; the result is a part of b.
func ParseDone(b []byte) (d Ended, result []byte, err error) {
	r := reader{b: b[1:]}
	flags := r.u8()
	d.Slot = r.small(MaxSlots)
	d.setFlags(flags, &r)
	result = r.b
	return d, result, shortError("result", r.err)
}

// AppendName adds a ShortName to b.
func AppendName(b []byte, num uint32, name string) []byte {
	return append(binary.AppendUvarint(append(b, ShortName), uint64(num)), name...)
}

// ParseName takes a ShortName apart.
func ParseName(b []byte) (num uint32, name string, err error) {
	r := reader{b: b[1:]}
	num = r.small(MaxFuncs)
	if len(r.b) > MaxString {
		r.fail(ErrLimit)
	}
	return num, string(r.b), shortError("function", r.err)
}

// Forms of an argument in a ShortCall.
const (
	ArgBare = iota // a value without a head
	ArgHead        // one with a head; see codec
	ArgRef         // a reference to an object that is ready
	ArgList        // arguments of which the function gets a slice
)

// ArgRoom is how many bytes the start of an argument takes at most.
const ArgRoom = binary.MaxVarintLen64

// AppendArg starts an argument of n bytes.
func AppendArg(b []byte, form uint64, n int) []byte {
	return binary.AppendUvarint(b, uint64(n)<<2|form)
}

// ParseArg takes an argument off b; value and rest are parts of it.
func ParseArg(b []byte) (form uint64, value, rest []byte, err error) {
	r := reader{b: b}
	n := r.uv()
	value = r.take(int(min(n>>2, MaxBody)))
	return n & 3, value, r.b, shortError("argument", r.err)
}

// AppendReady is the value of an ArgRef that sender sends.
func AppendReady(b []byte, i id.Object, owner, sender id.Addr) []byte {
	a := appender{append(b, i[:]...)}
	if owner != sender {
		a.addr(owner)
	}
	return a.b
}

// ParseReady takes an ArgRef apart.
func ParseReady(b []byte, sender id.Addr) (i id.Object, owner id.Addr, err error) {
	r := reader{b: b}
	i, owner = r.object(), sender
	if len(r.b) > 0 {
		owner = r.addr()
	}
	if r.err == nil && len(r.b) > 0 {
		r.fail(ErrLimit)
	}
	return i, owner, shortError("reference", r.err)
}

// small reads a number below limit.
func (r *reader) small(limit uint64) uint32 {
	n := r.uv()
	if n >= limit {
		r.fail(fmt.Errorf("%w: %d, below %d", ErrLimit, n, limit))
		return 0
	}
	return uint32(n)
}

func shortError(what string, err error) error {
	if err != nil {
		return fmt.Errorf("wire: short %s: %w", what, err)
	}
	return nil
}
