package lane

import (
	"net"
	"sync"
	"syscall"
)

// corkBytes is what gathers before a system call: 16 TLS records.
const corkBytes = 256 << 10

// Cork sits below TLS. While it is in, records gather and are written in pieces of corkBytes; without it a
// write goes through. One goroutine at a time puts it in and out; TLS may write an answer of its own from the
// reader's.
type Cork struct {
	net.Conn
	mu  sync.Mutex
	on  bool
	buf []byte

	fd  syscall.RawConn  // nil: the connection has none
	now func(fd uintptr) // one system call for Try, with what it came to
	n   int
	err error
}

// NewCork makes a cork for a connection, out.
func NewCork(c net.Conn) *Cork {
	k := &Cork{Conn: c}
	if s, ok := c.(syscall.Conn); ok {
		k.fd, _ = s.SyscallConn() // without it Try leaves all to Out
	}
	k.now = func(fd uintptr) { k.n, k.err = syscall.Write(int(fd), k.buf) }
	return k
}

// Write gathers b, or writes it when the cork is out.
func (c *Cork) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.on {
		return c.Conn.Write(b)
	}
	if len(c.buf)+len(b) > corkBytes {
		if err := c.pushLocked(); err != nil {
			return 0, err
		}
	}
	c.buf = append(c.buf, b...)
	return len(b), nil
}

// In puts the cork in.
func (c *Cork) In() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = true
}

// Out takes it out and writes what gathered.
func (c *Cork) Out() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = false
	return c.pushLocked()
}

// Try takes the cork out if what gathered can be written without waiting, in one system call. Else it stays in,
// and Out writes the rest.
func (c *Cork) Try() (left bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fd == nil {
		return true, nil
	}
	if err := c.fd.Control(c.now); err != nil {
		return false, err
	}
	switch c.err {
	case nil:
		c.buf = append(c.buf[:0], c.buf[c.n:]...)
	case syscall.EAGAIN, syscall.EINTR:
	default:
		return false, c.err
	}
	c.on = len(c.buf) > 0
	return c.on, nil
}

func (c *Cork) pushLocked() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}
