package proc

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

// maxPrinted bounds the workers' lines that wait to be written; more are dropped and counted.
const maxPrinted = 4096

// printLinger is how long the end of a process waits for its standard error to take them.
const printLinger = time.Second

// printer writes workers' lines, on a goroutine of its own that is there while there are some: a terminal or pipe that
// nobody reads holds up nothing else.
type printer struct {
	to io.Writer

	mu      sync.Mutex
	lines   []string
	dropped int
	writing bool
	done    chan struct{} // closed when what writes has ended
}

// add queues a line.
func (w *printer) add(m *wire.LogLine) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.lines) >= maxPrinted {
		w.dropped++
		return
	}
	who := m.Func
	if who == "" { // a worker that many tasks share, and none ran
		who = "worker"
	}
	w.lines = append(w.lines, fmt.Sprintf("(%s pid=%d node=%s) %s\n", who, m.PID, m.Node.Short(), m.Line))
	if !w.writing {
		w.writing, w.done = true, make(chan struct{})
		go w.write()
	}
}

// flush waits until all is written, or nobody takes it.
func (w *printer) flush() {
	w.mu.Lock()
	done := w.done
	w.mu.Unlock()
	if done == nil {
		return
	}
	select {
	case <-done:
	case <-time.After(printLinger):
	}
}

func (w *printer) write() {
	for {
		w.mu.Lock()
		lines, dropped := w.lines, w.dropped
		w.lines, w.dropped = nil, 0
		if w.writing = len(lines) > 0; !w.writing {
			close(w.done)
			w.mu.Unlock()
			return
		}
		w.mu.Unlock()
		for _, l := range lines {
			io.WriteString(w.to, l) // nobody is told where standard error is closed
		}
		if dropped > 0 {
			fmt.Fprintf(w.to, "(%d lines of workers were dropped: they came faster than this process's standard error takes them)\n", dropped)
		}
	}
}
