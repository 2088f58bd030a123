package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"

	"github.com/kadrehq/kadre/internal/id"
)

// Kinds of attachments.
const (
	AttachDriver = "driver"
	AttachWorker = "worker"
	AttachQuery  = "query"
)

// Limits of the messages that attach a process.
const (
	MaxAttach    = 8 << 20 // bytes of one message: a whole event ring as JSON
	MaxAttachFDs = 8       // descriptors of one message
)

// Hello is the first message on a node's socket: who attaches. A query sends What and gets an Answer; the
// others get a Welcome, after which both sides send Notices.
type Hello struct {
	_           struct{} `cbor:",toarray"`
	Version     int
	Kind        string
	PID         int
	Proc        id.Proc
	Job         id.Job // of a driver; a worker's is told in its Welcome
	Worker      uint64 // the number that the node gave a worker in KADRE_WORKER_ID
	Exe         string
	Args        []string // without the program's name
	Env         []string // what WorkerEnv names, NAME=value
	LogToDriver bool
	Isolate     bool   // KADRE_ISOLATE=1: the job's placed tasks go to workers even where its driver is
	What        string // of a query
}

// Welcome answers a Hello. The descriptors of the arena come with it, then that of the ring pair.
type Welcome struct {
	_        struct{} `cbor:",toarray"`
	Err      *ErrorRecord
	Node     id.Node
	Epoch    uint64
	Slot     int // the client's slot in the arena
	CPUs     float64
	RingSize int
	ArenaFDs int
	Job      Job
}

// Notice is any later message, one field set.
type Notice struct {
	_     struct{} `cbor:",toarray"`
	Offer *Offer
	Bye   *Bye
}

// Offer brings one end of a ring pair to another process of the node; the descriptor comes with it.
type Offer struct {
	_    struct{} `cbor:",toarray"`
	Proc id.Proc
	Slot int
	Side int
}

// Bye says that the sender no longer touches the arena or any ring. A process says it last and waits for
// the node's, which says it when all of the process has been cleared away. A node that closes says it first.
type Bye struct {
	_   struct{} `cbor:",toarray"`
	Why string
}

// Answer answers a query.
type Answer struct {
	_    struct{} `cbor:",toarray"`
	JSON []byte
	Err  *ErrorRecord
}

// SendMsg writes one message, with descriptors that travel with its first byte and stay open here.
func SendMsg(c *net.UnixConn, m any, fds ...int) error {
	if len(fds) > MaxAttachFDs {
		return fmt.Errorf("wire: sending %T: %d descriptors, at most %d", m, len(fds), MaxAttachFDs)
	}
	body, err := encMode.Marshal(m)
	if err != nil {
		return fmt.Errorf("wire: sending %T: %w", m, err)
	}
	if len(body) > MaxAttach {
		return fmt.Errorf("wire: sending %T: %w: %d bytes, at most %d", m, ErrLimit, len(body), MaxAttach)
	}
	b := append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...)
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(b, rights, nil)
	if err == nil && n < len(b) {
		_, err = c.Write(b[n:])
	}
	if err != nil {
		return fmt.Errorf("wire: sending %T: %w", m, err)
	}
	return nil
}

// RecvMsg reads one message into m, which points to it. The descriptors that came are the caller's, also
// when fewer or more came than the message speaks of; with an error they are closed. The end of the
// connection between two messages is io.EOF.
func RecvMsg(c *net.UnixConn, m any) (fds []int, err error) {
	defer func() {
		if err != nil {
			CloseFDs(fds)
			fds = nil
			if err != io.EOF {
				err = fmt.Errorf("wire: receiving %T: %w", m, err)
			}
		}
	}()
	var head [4]byte
	oob := make([]byte, syscall.CmsgSpace(MaxAttachFDs*4))
	for got := 0; got < len(head); {
		n, on, flags, _, err := c.ReadMsgUnix(head[got:], oob)
		more, perr := parseRights(oob[:on])
		fds = append(fds, more...)
		switch {
		case err != nil && !errors.Is(err, io.EOF):
			return fds, err
		case perr != nil:
			return fds, perr
		case flags&syscall.MSG_CTRUNC != 0 || len(fds) > MaxAttachFDs:
			return fds, fmt.Errorf("%w: more than %d descriptors", ErrLimit, MaxAttachFDs)
		case n == 0 && got == 0:
			return fds, io.EOF
		case n == 0:
			return fds, io.ErrUnexpectedEOF
		}
		got += n
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > MaxAttach {
		return fds, fmt.Errorf("%w: %d bytes, at most %d", ErrLimit, n, MaxAttach)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(c, body); err != nil {
		return fds, errors.Join(io.ErrUnexpectedEOF, err)
	}
	return fds, decMode.Unmarshal(body, m)
}

func parseRights(oob []byte) (fds []int, err error) {
	if len(oob) == 0 {
		return nil, nil
	}
	ms, err := syscall.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	for i := range ms {
		if got, err := syscall.ParseUnixRights(&ms[i]); err == nil {
			fds = append(fds, got...)
		}
	}
	return fds, nil
}

// CloseFDs closes descriptors that came with a message.
func CloseFDs(fds []int) {
	for _, fd := range fds {
		syscall.Close(fd)
	}
}
