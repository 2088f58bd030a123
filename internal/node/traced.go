package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// Recorder is a process that records tasks, or can.
type Recorder struct {
	Node id.Node `json:"node"`
	Proc string  `json:"proc"`
	PID  int     `json:"pid"`
	Kind string  `json:"kind"`
	Job  string  `json:"job"`

	Ended int64 `json:"ended,omitempty"` // Unix nanoseconds: it is gone, and this is what it has left
}

const (
	viewRecord = "record " // and for how long, 0: only tell who could
	viewTape   = "tape "   // and node, process and part
	traceEnv   = "KADRE_TRACE=1"

	maxRecording = time.Hour
)

// recording is until when the processes of this node record tasks, as far as it was asked for.
func (n *Node) recording() bool { return time.Now().UnixNano() < n.recordUntil.Load() }

// record has the processes of this node record tasks for a time, those to come too, and lists them.
func (n *Node) record(d time.Duration) []Recorder {
	d = min(d, maxRecording)
	if d > 0 {
		n.recordUntil.Store(time.Now().Add(d).UnixNano())
	}
	rs := []Recorder{}
	for _, p := range *n.procs.Load() {
		n.tellRecord(p)
		rs = append(rs, n.recorder(p))
	}
	return append(rs, n.tapes.recorders()...)
}

func (n *Node) recorder(p *process) Recorder {
	return Recorder{Node: n.id, Proc: p.addr.Proc.String(), PID: p.pid, Kind: p.kind, Job: p.job.String()}
}

// tellRecord tells a process that it is to record, if it is.
func (n *Node) tellRecord(p *process) {
	if left := time.Until(time.Unix(0, n.recordUntil.Load())); left > 0 {
		n.tell(p.addr, wire.KStatus, wire.Marshal(&wire.StatusQuery{What: viewRecord + left.String()}))
	}
}

// tape gives a part of what a process of any node recorded: "NODE PROCESS PART".
func (n *Node) tape(ctx context.Context, what string) (json.RawMessage, error) {
	f := strings.Fields(what)
	if len(f) != 3 {
		return nil, fmt.Errorf("node: tape %q: want a node, a process and a part", what)
	}
	num, err := strconv.ParseUint(f[1], 16, 64)
	if err != nil {
		return nil, fmt.Errorf("node: tape: %q is no process", f[1])
	}
	part, err := strconv.Atoi(f[2])
	if err != nil {
		return nil, fmt.Errorf("node: tape: %q is no part", f[2])
	}
	ctx, cancel := context.WithTimeout(ctx, memberAnswer)
	defer cancel()
	if at := id.Node(f[0]); at != n.id {
		return n.ask(ctx, id.Addr{Node: at}, wire.KStatus, wire.Marshal(&wire.StatusQuery{What: viewTape + what}))
	}
	if b, ok, err := n.tapes.part(id.Proc(num), part); ok {
		return b, err
	}
	return n.ask(ctx, id.Addr{Node: n.id, Proc: id.Proc(num)}, wire.KStatus, wire.Marshal(&wire.StatusQuery{What: viewTape + f[2]}))
}

// traceOf is what a worker's environment gets so that it records from its start.
func (n *Node) traceOf() []string {
	if n.recording() && os.Getenv("KADRE_TRACE") != "1" {
		return []string{traceEnv}
	}
	return nil
}
