package lane

import (
	"runtime"
	"time"
)

// Who writes. A frame that comes alone is written by its sender, or by the reader that has handed over what it
// answers: waking the writer would take longer than all the rest of a round trip. Neither waits for the network:
// they try once, and what the socket does not take is the writer's. Where frames come in numbers the writer
// gathers them. In steps, under the bond's mutex:
//
//	sender: 1. add the frame; 2. somebody writes or the reader is about to: leave it to him; 3. write, or wake the writer
//	who wrote: 4. nothing is left: done; 5. something is: wake the writer (the writer itself goes on)
//	writer: 6. nothing to write, or somebody else writes: sleep; 7. write all there is
//
// Step 2 is safe because writing and reading end under the mutex, with a look at what has been added.
const (
	fewFrames  = 4        // between two reads; more are a crowd
	soloBytes  = 32 << 10 // written by a sender or reader at most, a bound on the time it takes
	calmReads  = 16       // without a crowd, until it is thought to be over
	crowdFull  = 16 << 10 // a TLS record is full: a crowd is waited for no longer
	crowdStill = 2        // how often none of it may have added a frame
)

// readyLocked is how much can be written.
func (l *Control) readyLocked() int {
	n := len(l.urgent) + len(l.queue)
	if l.open {
		n += len(l.bond.kept.next())
	}
	return n
}

// nudgeLocked sees to it that what was added is written.
func (l *Control) nudgeLocked() {
	if l.burst++; l.burst > fewFrames {
		l.crowd = true
	}
	if l.err == nil && l.began && !l.reading {
		l.soloLocked(!l.crowd)
	}
}

// soloLocked writes on the caller's goroutine if nothing speaks against it, and leaves the rest to the writer.
func (l *Control) soloLocked(may bool) {
	if l.writing {
		return
	}
	if n := l.readyLocked(); n == 0 {
		return
	} else if may && !l.left && n <= soloBytes {
		l.flushLocked((*Cork).Try)
		if l.err != nil || !l.left && l.readyLocked() == 0 {
			return
		}
	}
	l.wake.Signal()
}

// gather begins handing over frames: what is sent meanwhile waits for release.
func (l *Control) gather() {
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	switch {
	case l.burst > fewFrames:
		l.crowd, l.calm = true, 0
	case l.calm < calmReads:
		l.calm++
	default:
		l.crowd = false
	}
	l.burst = 0
	l.reading = true
}

// release ends it and writes the answers.
func (l *Control) release(tell bool) {
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	l.reading = false
	if l.err != nil {
		return
	}
	if tell && l.told != l.bond.got.Load() {
		l.confirmLocked()
	}
	if l.crowd && !l.writing && l.readyLocked() > 0 {
		l.writing = true
		l.gatherLocked()
		l.writing = false
	}
	l.soloLocked(true)
}

// write is the writer: it writes what others leave to it, and may wait for the peer.
func (l *Control) write() {
	l.bond.mu.Lock()
	defer l.bond.mu.Unlock()
	for l.err == nil {
		if l.writing || l.reading && !l.left || !l.left && l.readyLocked() == 0 {
			l.wake.Wait()
			continue
		}
		l.writing = true // nobody else need look
		if l.crowd {
			l.gatherLocked()
		}
		l.flushLocked(func(k *Cork) (bool, error) {
			l.c.raw.SetWriteDeadline(time.Now().Add(writeFor))
			return false, k.Out()
		})
	}
}

// gatherLocked lets those that are about to send do so first.
func (l *Control) gatherLocked() {
	still := 0
	for n := l.readyLocked(); still < crowdStill && n < crowdFull; {
		l.bond.mu.Unlock()
		runtime.Gosched()
		l.bond.mu.Lock()
		if k := l.readyLocked(); k > n {
			n, still = k, 0
		} else {
			still++
		}
	}
}

// flushLocked writes the two queues, the urgent one first, and then a piece of what the bond keeps, so that none
// waits long for another. out empties the cork. A failure ends the lane. The mutex is free meanwhile.
func (l *Control) flushLocked(out func(*Cork) (left bool, err error)) {
	l.writing = true
	l.c.cork.In()
	for _, q := range [...]*[]byte{&l.urgent, &l.queue} {
		if b := *q; len(b) > 0 && l.err == nil {
			*q = l.spare
			l.sealLocked(b)
			if l.spare = b[:0]; cap(b) > keepBytes {
				l.spare = nil
			}
		}
	}
	if b := l.bond.kept.next(); l.open && len(b) > 0 && l.err == nil {
		l.sealLocked(b)
		l.bond.kept.wrote(len(b))
	}
	l.bond.mu.Unlock()
	left, err := out(l.c.cork)
	l.bond.mu.Lock()
	l.left = left
	if err != nil {
		l.cutLocked(err)
	}
	l.writing = false
	if l.err != nil || !left && l.readyLocked() == 0 {
		l.empty.Broadcast()
	}
}

// sealLocked encrypts b into the cork, without the lock.
func (l *Control) sealLocked(b []byte) {
	l.bond.mu.Unlock()
	if len(b) > soloBytes {
		l.c.raw.SetWriteDeadline(time.Now().Add(writeFor)) // the cork may overflow
	}
	_, err := l.c.rw.Write(b)
	l.out.Add(uint64(len(b)))
	l.bond.mu.Lock()
	if err != nil {
		l.cutLocked(err)
	}
}
