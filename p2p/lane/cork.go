package lane

import (
	"net"
	"sync"
)

// corkBytes is what gathers before a system call: 16 TLS records.
const corkBytes = 256 << 10

// Cork sits below TLS. While it is in, records gather and are written in pieces of corkBytes; without it a
// write goes through. One goroutine puts it in and out; TLS may write an answer of its own from the reader's.
type Cork struct {
	net.Conn
	mu  sync.Mutex
	on  bool
	buf []byte
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

func (c *Cork) pushLocked() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}
