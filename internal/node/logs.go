package node

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

const (
	maxLogFile  = 16 << 20 // bytes, then the file is rotated; two are kept
	maxLine     = 16 << 10 // bytes of a line; a longer one is cut into several
	maxLineRate = 1000     // lines a second that go to the driver; the others are counted
	logLinger   = time.Second
	tellDrops   = 1100 * time.Millisecond // after the first dropped line, their number is told at the latest
)

// workerLogs takes what a worker writes: into a file, and line by line to the driver.
type workerLogs struct {
	n              *Node
	w              *worker
	home           id.Addr
	stdout, stderr *os.File // the worker's ends
	readers        [2]*os.File
	pid            int
	wg             sync.WaitGroup

	mu      sync.Mutex
	path    string
	file    *os.File // nil when it cannot be written
	size    int64
	last    words
	second  int64 // of the last line
	lines   int   // in that second
	dropped int
}

func (n *Node) openLogs(w *worker, d wire.Job) (*workerLogs, error) {
	l := &workerLogs{n: n, w: w, home: id.Addr{Node: d.Home}}
	var err error
	if l.readers[0], l.stdout, err = os.Pipe(); err != nil {
		return nil, fmt.Errorf("node: worker's output: %w", err)
	}
	if l.readers[1], l.stderr, err = os.Pipe(); err != nil {
		l.readers[0].Close()
		l.stdout.Close()
		return nil, fmt.Errorf("node: worker's output: %w", err)
	}
	return l, nil
}

// begin starts reading.
func (l *workerLogs) begin(pid int) {
	l.pid = pid
	l.path = filepath.Join(l.n.state, logDir, fmt.Sprintf("%v-%d.log", l.w.job.id, pid))
	l.open()
	l.wg.Go(func() { l.read(l.readers[0], false) })
	l.wg.Go(func() { l.read(l.readers[1], true) })
}

func (l *workerLogs) open() {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		l.n.log.Warn("node: a worker's log cannot be written", "err", err)
		l.file = nil
		return
	}
	l.file, l.size = f, 0
}

// finish reads what is left after the worker's end, and gives its last words. A process that escaped the worker's group may hold the pipes
// open: it is not waited for.
func (l *workerLogs) finish(byGo bool) string {
	for _, r := range l.readers {
		r.SetReadDeadline(time.Now().Add(logLinger))
	}
	l.wg.Wait()
	for _, r := range l.readers {
		r.Close()
	}
	if l.file != nil {
		l.file.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tellDropped()
	return l.last.text(byGo)
}

func (l *workerLogs) read(r *os.File, isErr bool) {
	b := bufio.NewReaderSize(r, maxLine)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			l.line(line, isErr)
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// line takes one line, or a piece of an overlong one.
func (l *workerLogs) line(b []byte, isErr bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if isErr {
		l.last.add(b)
	}
	l.write(b)
	if now := time.Now().Unix(); now != l.second {
		l.tellDropped()
		l.second, l.lines = now, 0
	}
	if l.lines++; l.lines > maxLineRate {
		if l.dropped++; l.dropped == 1 { // nobody may write another line that brings the count
			time.AfterFunc(tellDrops, func() {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.tellDropped()
			})
		}
		l.n.stats.linesDropped.Add(1)
		return
	}
	l.send(strings.ToValidUTF8(strings.TrimRight(string(b), "\r\n"), "?"))
}

// tellDropped tells the driver of a job that ends how many lines of its workers here it did not get.
func (n *Node) tellDropped(j id.Job) {
	var all []*workerLogs
	n.mu.Lock()
	for _, w := range n.workers {
		if w.job.id == j && w.logs != nil {
			all = append(all, w.logs)
		}
	}
	n.mu.Unlock()
	for _, l := range all {
		l.mu.Lock()
		l.tellDropped()
		l.mu.Unlock()
	}
}

// tellDropped tells the driver how many lines it did not get.
func (l *workerLogs) tellDropped() {
	if l.dropped > 0 {
		l.send(fmt.Sprintf("(%d lines were dropped here: more than %d in a second; 'kadre logs' has the last of them)", l.dropped, maxLineRate))
		l.dropped = 0
	}
}

func (l *workerLogs) write(b []byte) {
	if l.file == nil {
		return
	}
	if l.size+int64(len(b)) > maxLogFile {
		l.file.Close()
		os.Rename(l.path, l.path+".1")
		l.open()
		if l.file == nil {
			return
		}
	}
	k, err := l.file.Write(b)
	l.size += int64(k)
	if err != nil {
		l.n.log.Warn("node: a worker's log cannot be written", "err", err)
		l.file.Close()
		l.file = nil
	}
}

func (l *workerLogs) send(line string) {
	l.n.mu.Lock()
	fn := l.w.fn
	l.n.mu.Unlock()
	m := wire.LogLine{Job: l.w.job.id, Func: fn, PID: l.pid, Node: l.n.id, Line: line}
	if l.home.Node == l.n.id {
		l.n.logLine(&m)
		return
	}
	l.n.tell(l.home, wire.KLog, wire.Marshal(&m))
}

// logFrame takes a line of a worker elsewhere whose driver is here.
func (n *Node) logFrame(f *wire.Frame) error {
	var m wire.LogLine
	if err := wire.Unmarshal(f.Body, &m); err != nil {
		return err
	}
	n.logLine(&m)
	return nil
}

// logLine passes a line on to its driver, if that wants it.
func (n *Node) logLine(m *wire.LogLine) {
	n.mu.Lock()
	var to id.Addr
	if j := n.jobs[m.Job]; j != nil && j.driver != nil && j.driver.hello.LogToDriver {
		to = j.driver.addr
	}
	n.mu.Unlock()
	if !to.IsZero() {
		n.tell(to, wire.KLog, wire.Marshal(m))
	}
}
