package wire

import (
	"sync"

	"github.com/kadrehq/kadre/internal/id"
)

// Calls matches replies with requests. The zero value is ready.
type Calls struct {
	mu   sync.Mutex
	next uint64
	live map[uint64]call
	err  error
}

type call struct {
	to   id.Addr
	done func(body []byte, err error)
}

// Start gives the number of a new request to an address. done is called exactly once, on the goroutine
// that brings the reply or the failure; it must not block, and body is only valid during the call.
func (c *Calls) Start(to id.Addr, done func(body []byte, err error)) uint64 {
	c.mu.Lock()
	if c.err != nil {
		err := c.err
		c.mu.Unlock()
		done(nil, err)
		return 0
	}
	c.next++
	n := c.next
	if c.live == nil {
		c.live = map[uint64]call{}
	}
	c.live[n] = call{to, done}
	c.mu.Unlock()
	return n
}

// Finish gives a reply to its request; an unknown or answered number is ignored.
func (c *Calls) Finish(f *Frame) {
	k, ok := c.take(f.Req)
	if !ok {
		return
	}
	if f.Flags&FlagError == 0 {
		k.done(f.Body, nil)
		return
	}
	var e ErrorRecord
	if err := Unmarshal(f.Body, &e); err != nil {
		k.done(nil, err)
		return
	}
	k.done(nil, &e)
}

// Fail ends one request with an error.
func (c *Calls) Fail(req uint64, err error) {
	if k, ok := c.take(req); ok {
		k.done(nil, err)
	}
}

func (c *Calls) take(req uint64) (call, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k, ok := c.live[req]
	delete(c.live, req)
	return k, ok
}

// FailAddr ends the requests to a dead address; with Proc 0 those to all of its node.
func (c *Calls) FailAddr(dead id.Addr, err error) {
	c.failIf(func(to id.Addr) bool { return to == dead || dead.Proc == 0 && to.Node == dead.Node }, err)
}

// Close ends all requests, also those to come.
func (c *Calls) Close(err error) {
	c.mu.Lock()
	c.err = err
	c.mu.Unlock()
	c.failIf(func(id.Addr) bool { return true }, err)
}

func (c *Calls) failIf(match func(id.Addr) bool, err error) {
	var ended []call
	c.mu.Lock()
	for n, k := range c.live {
		if match(k.to) {
			ended = append(ended, k)
			delete(c.live, n)
		}
	}
	c.mu.Unlock()
	for _, k := range ended {
		k.done(nil, err)
	}
}
