package lane

import "net"

// corkBytes is what gathers before a system call: 16 TLS records.
const corkBytes = 256 << 10

// Cork sits below TLS. While it is in, records gather and are written in pieces of corkBytes; without it a
// write goes through. It belongs to the goroutine that writes, except while the handshake runs.
type Cork struct {
	net.Conn
	on  bool
	buf []byte
}

// Write gathers b, or writes it when the cork is out.
func (c *Cork) Write(b []byte) (int, error) {
	if !c.on {
		return c.Conn.Write(b)
	}
	if len(c.buf)+len(b) > corkBytes {
		if err := c.push(); err != nil {
			return 0, err
		}
	}
	if c.buf == nil {
		c.buf = make([]byte, 0, corkBytes)
	}
	c.buf = append(c.buf, b...)
	return len(b), nil
}

// In puts the cork in.
func (c *Cork) In() { c.on = true }

// Out takes it out and writes what gathered.
func (c *Cork) Out() error {
	c.on = false
	return c.push()
}

func (c *Cork) push() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.Conn.Write(c.buf)
	c.buf = c.buf[:0]
	return err
}
