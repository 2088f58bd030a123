package steal

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Bounds of a message. Append panics beyond them, Parse refuses.
const (
	MaxTasks = 4096      // tasks in a GRANT
	MaxBytes = 960 << 10 // of their encodings together: with what is around them a frame stays below 1 MiB
	MaxApps  = 256       // applications in a STEAL
	MaxApp   = 64        // bytes of an application's name
)

// Kind is what a message is.
type Kind uint8

// The kinds of messages.
const (
	Steal Kind = 1 + iota // thief: I have Free CPU for tasks of Apps
	Grant                 // victim: these Tasks are yours once you confirm
	Deny                  // victim: nothing for you; Load tasks are queued
	Ack                   // thief: I have them
)

func (k Kind) String() string {
	switch k {
	case Steal:
		return "STEAL"
	case Grant:
		return "GRANT"
	case Deny:
		return "DENY"
	case Ack:
		return "ACK"
	}
	return "unknown"
}

// Task is the encoding of a task, opaque here.
type Task []byte

// Msg is a message. Kind says which of the later fields count.
type Msg struct {
	Kind  Kind
	Epoch uint64 // of the sender
	To    uint64 // epoch of the receiver
	Seq   uint64 // of the STEAL that this belongs to
	// STEAL
	Life bool     // keep it until there is something
	Free uint32   // milli-CPU
	Apps []string // applications that the thief can run; none: any
	// DENY
	Load uint32
	// GRANT
	Tasks []Task
}

// ErrMessage is matched by Parse's errors.
var ErrMessage = errors.New("steal: bad message")

// version is the first byte of a message.
const version = 1

// Append encodes m.
func (m *Msg) Append(b []byte) []byte {
	b = append(b, version, byte(m.Kind))
	b = binary.AppendUvarint(b, m.Epoch)
	b = binary.AppendUvarint(b, m.To)
	b = binary.AppendUvarint(b, m.Seq)
	switch m.Kind {
	case Steal:
		life := byte(0)
		if m.Life {
			life = 1
		}
		b = append(b, life)
		b = binary.AppendUvarint(b, uint64(m.Free))
		if len(m.Apps) > MaxApps {
			panic("steal: STEAL over its bounds: cut Apps at MaxApps")
		}
		b = binary.AppendUvarint(b, uint64(len(m.Apps)))
		for _, a := range m.Apps {
			b = binary.AppendUvarint(b, uint64(len(a)))
			b = append(b, a...)
		}
	case Grant:
		if n, size := fit(m.Tasks); n < len(m.Tasks) {
			panic(fmt.Sprintf("steal: GRANT over its bounds: %d tasks, %d bytes: the Machine cuts what it was given", len(m.Tasks), size))
		}
		b = binary.AppendUvarint(b, uint64(len(m.Tasks)))
		for _, t := range m.Tasks {
			b = binary.AppendUvarint(b, uint64(len(t)))
			b = append(b, t...)
		}
	case Deny:
		b = binary.AppendUvarint(b, uint64(m.Load))
	}
	return b
}

// fit is how many of ts, and how many bytes, may be in one GRANT.
func fit(ts []Task) (n, size int) {
	for _, t := range ts {
		if n == MaxTasks || size+len(t) > MaxBytes {
			break
		}
		n++
		size += len(t)
	}
	return n, size
}

// Parse decodes a message. Its tasks are parts of b.
func Parse(b []byte) (m Msg, err error) {
	r := reader{b: b}
	if v := r.byte(); v != version {
		return Msg{}, fmt.Errorf("%w: version %d, this node speaks %d", ErrMessage, v, version)
	}
	m.Kind = Kind(r.byte())
	m.Epoch, m.To, m.Seq = r.uvarint(1<<64-1), r.uvarint(1<<64-1), r.uvarint(1<<64-1)
	switch m.Kind {
	case Steal:
		m.Life = r.byte() == 1
		m.Free = uint32(r.uvarint(1<<32 - 1))
		for range r.count(MaxApps) {
			m.Apps = append(m.Apps, string(r.bytes(MaxApp)))
		}
	case Grant:
		left := uint64(MaxBytes)
		for range r.count(MaxTasks) {
			t := r.bytes(left)
			left -= uint64(len(t))
			m.Tasks = append(m.Tasks, t)
		}
	case Deny:
		m.Load = uint32(r.uvarint(1<<32 - 1))
	case Ack:
	default:
		r.bad = true
	}
	if r.bad || len(r.b) > 0 {
		return Msg{}, fmt.Errorf("%w: %s of %d bytes, %d of them unread", ErrMessage, m.Kind, len(b), len(r.b))
	}
	return m, nil
}

// reader takes a message apart. Once bad, it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return nil
	}
	b := r.b[:n:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) uvarint(max uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || v > max {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

// count reads a number of elements, each at least a byte long.
func (r *reader) count(max uint64) uint64 {
	return r.uvarint(min(max, uint64(len(r.b))))
}

func (r *reader) bytes(max uint64) []byte { return r.take(r.uvarint(max)) }
