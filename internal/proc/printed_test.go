package proc

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

// gate is a writer that lets nothing through until it is opened.
type gate struct {
	open chan struct{}
	mu   sync.Mutex
	b    bytes.Buffer
}

func (g *gate) Write(b []byte) (int, error) {
	<-g.open
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.Write(b)
}

func (g *gate) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.b.String()
}

func TestPrinterNeverWaits(t *testing.T) {
	g := &gate{open: make(chan struct{})}
	w := &printer{to: g}
	const lines = 10 * maxPrinted
	for range lines {
		w.add(&wire.LogLine{Func: "f", PID: 1, Node: "n", Line: "x"})
	}
	close(g.open)
	idle := func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return !w.writing
	}
	for end := time.Now().Add(time.Minute); !idle(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not end")
		}
	}
	n := strings.Count(g.text(), "(f pid=1 node=n) x\n")
	if n < maxPrinted || n >= lines || !strings.Contains(g.text(), "lines of workers were dropped") {
		t.Errorf("%d of %d lines", n, lines)
	}
}
