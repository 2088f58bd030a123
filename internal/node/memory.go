package node

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/objstore/spill"
)

const (
	fsckLooks = 5 // audits in which a broken invariant must show: one look at others' work may be wrong
)

// Memory is the arena in full.
type Memory struct {
	Node    id.Node        `json:"node"`
	Store   StoreStatus    `json:"store"`
	Audit   arena.Audit    `json:"audit"`
	Why     []string       `json:"why,omitempty"` // why better kinds of memory were refused
	Holders []HolderStatus `json:"holders"`       // those of the most bytes first
	Idle    HolderStatus   `json:"idle"`          // what no process holds
	Jobs    []JobHoldings  `json:"jobs"`          // whose objects they are; those of the most bytes first
	Objects []ObjectStatus `json:"objects"`       // 2,000 at most; 'kadre list objects' has all
	Omitted int            `json:"omitted"`       // how many more there are
}

// JobHoldings is what a job has in the store of a node: held or not, something refers to it.
type JobHoldings struct {
	Job          string  `json:"job"`
	Driver       int     `json:"driver,omitempty"` // the process, where it is of this node
	Home         id.Node `json:"home,omitempty"`   // the driver's node; none where this node does not know the job
	Objects      int     `json:"objects"`          // in memory
	Bytes        int64   `json:"bytes"`
	Spilled      int     `json:"spilled"` // in files only
	SpilledBytes int64   `json:"spilled_bytes"`
	UnusedSec    float64 `json:"unused_sec"` // of the object in memory that was not used for the longest time
}

// HolderStatus is a process of the node and what it holds in the arena.
type HolderStatus struct {
	PID     int    `json:"pid,omitempty"`
	Kind    string `json:"kind,omitempty"` // "node", "driver" or "worker"; "" where it has just ended
	Job     string `json:"job,omitempty"`
	Stopped bool   `json:"stopped,omitempty"` // by a signal: it keeps what it holds and can't let go of it
	Objects int    `json:"objects"`
	Bytes   int64  `json:"bytes"` // an object that two hold counts for both
}

// Fsck says whether the arena is as it must be.
type Fsck struct {
	Node     id.Node  `json:"node"`
	Backing  string   `json:"backing"`
	Why      []string `json:"why,omitempty"` // why better kinds of memory were refused
	Protects bool     `json:"protects"`      // a write to sealed memory through the maker's own slice faults
	Objects  int      `json:"objects"`
	Problems []string `json:"problems"` // invariants that did not hold in any of several looks

	Stopped []StoppedHolder `json:"stopped,omitempty"`
}

// StoppedHolder is a process that holds objects and that a signal or a debugger has stopped: it cannot let go of them.
type StoppedHolder struct {
	PID     int    `json:"pid"`
	Kind    string `json:"kind"`
	Objects int    `json:"objects"`
}

// String is the memory for people: who holds what, and whose it is.
func (m Memory) String() string {
	var b strings.Builder
	objects, bytes := 0, int64(0) // those that are being made too
	for _, j := range m.Jobs {
		objects, bytes = objects+j.Objects, bytes+j.Bytes
	}
	fmt.Fprintf(&b, "node %s: %d objects of %.1f MiB in %.0f MiB of %s memory, %.1f MiB of it committed\n", m.Node.Short(),
		objects, mib(bytes), mib(m.Store.Size), m.Store.Backing, mib(m.Audit.Committed))
	if m.Store.Spilled > 0 {
		fmt.Fprintf(&b, "spilled: %d objects of %.1f MiB, those read back too, in files of %.1f MiB in %s\n", m.Store.Spilled, mib(m.Store.SpilledBytes), mib(m.Store.SpillDisk), m.Store.SpillDir)
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\nprocess\tkind\tjob\tholds\tMiB\t")
	for _, h := range m.Holders {
		note := ""
		if h.Stopped {
			note = "stopped: it keeps what it holds"
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%.1f\t%s\n", h.PID, h.Kind, h.Job, h.Objects, mib(h.Bytes), note)
	}
	fmt.Fprintf(w, "held by none\t\t\t%d\t%.1f\t\n", m.Idle.Objects, mib(m.Idle.Bytes))
	w.Flush()
	if len(m.Jobs) > 0 {
		fmt.Fprintln(w, "\njob\tdriver\tin memory\tMiB\tunused for\tin files\tMiB\t")
	}
	for _, j := range m.Jobs {
		driver := "-"
		switch {
		case j.Driver != 0:
			driver = strconv.Itoa(j.Driver)
		case j.Home != "":
			driver = "on " + j.Home.Short()
		}
		unused := "-"
		if j.Objects > 0 {
			unused = "up to " + (time.Duration(j.UnusedSec) * time.Second).String()
		}
		fmt.Fprintf(w, "%s\t%s\t%d\t%.1f\t%s\t%d\t%.1f\t\n", j.Job, driver, j.Objects, mib(j.Bytes), unused, j.Spilled, mib(j.SpilledBytes))
	}
	w.Flush()
	return b.String()
}

func (n *Node) memory() Memory {
	m := Memory{Node: n.id, Store: n.storeStatus(), Audit: n.arena.Audit(), Why: n.arena.Backing().Why, Objects: []ObjectStatus{}}
	holders := n.clients()
	jobs := map[id.Job]*JobHoldings{}
	of := func(j id.Job) *JobHoldings {
		if jobs[j] == nil {
			jobs[j] = &JobHoldings{Job: j.String()}
		}
		return jobs[j]
	}
	n.arena.List(func(e arena.Entry) bool {
		if len(m.Objects) < maxListed {
			m.Objects = append(m.Objects, n.objectStatus(e, holders))
		} else {
			m.Omitted++
		}
		for _, c := range e.Holders {
			h := holders[c]
			h.Objects, h.Bytes = h.Objects+1, h.Bytes+e.Size
			holders[c] = h
		}
		if len(e.Holders) == 0 {
			m.Idle.Objects, m.Idle.Bytes = m.Idle.Objects+1, m.Idle.Bytes+e.Size
		}
		j := of(e.Job)
		j.Objects, j.Bytes, j.UnusedSec = j.Objects+1, j.Bytes+e.Size, max(j.UnusedSec, unusedSec(e))
		return true
	})
	n.store.EachSpilled(func(i spill.Info) {
		j := of(i.Job)
		j.Spilled, j.SpilledBytes = j.Spilled+1, j.SpilledBytes+i.Size
	})
	m.Holders = slices.SortedFunc(maps.Values(holders), func(a, b HolderStatus) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.PID, b.PID))
	})
	m.Jobs = n.jobHoldings(jobs)
	return m
}

// jobHoldings adds to what jobs have who their drivers are.
func (n *Node) jobHoldings(jobs map[id.Job]*JobHoldings) []JobHoldings {
	n.mu.Lock()
	for name, h := range jobs {
		if j := n.jobs[name]; j != nil {
			h.Home = j.desc.Home
			if j.driver != nil {
				h.Driver = j.driver.pid
			}
		}
	}
	n.mu.Unlock()
	all := []JobHoldings{}
	for _, h := range jobs {
		all = append(all, *h)
	}
	slices.SortFunc(all, func(a, b JobHoldings) int {
		return cmp.Or(cmp.Compare(b.Bytes+b.SpilledBytes, a.Bytes+a.SpilledBytes), strings.Compare(a.Job, b.Job))
	})
	return all
}

// clients are the processes that have the arena attached, by their slot.
func (n *Node) clients() map[int]HolderStatus {
	all := map[int]HolderStatus{0: {PID: os.Getpid(), Kind: "node"}}
	for _, p := range *n.procs.Load() {
		state := processState(p.pid)
		h := HolderStatus{PID: p.pid, Kind: "worker", Job: p.job.String(), Stopped: state == stoppedState || state == tracedState}
		if p.kind == wire.AttachDriver {
			h.Kind = "driver"
		}
		all[p.slot] = h
	}
	return all
}

// States of a process, as the kernel writes them.
const (
	stoppedState = 'T' // by a signal
	tracedState  = 't' // by a debugger
)

// processState is one of the kernel's letters for what a process does; 0 where there is no such process.
func processState(pid int) byte {
	if f := statFields(pid); len(f) > 0 {
		return f[0][0]
	}
	return 0
}

// statFields are the words of a process's /proc/PID/stat from its state on, which is the third.
func statFields(pid int) []string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil
	}
	return strings.Fields(string(b)[strings.LastIndexByte(string(b), ')')+1:]) // the name may have anything in it
}

// fsck audits the arena. While others work an audit may see a word before and another one after the same
// change, so only what every one of several looks finds counts.
func (n *Node) fsck() Fsck {
	u := n.arena.Audit()
	for range fsckLooks - 1 {
		if len(u.Problems) == 0 {
			break
		}
		again := n.arena.Audit()
		again.Problems = slices.DeleteFunc(again.Problems, func(p string) bool { return !slices.Contains(u.Problems, p) })
		u = again
	}
	b := n.arena.Backing()
	f := Fsck{Node: n.id, Backing: b.Kind, Why: b.Why, Protects: n.arena.Protects(), Objects: u.Creating + u.Sealed + u.Doomed + u.Evicting,
		Problems: append([]string{}, u.Problems...)}
	for c, h := range n.clients() {
		if h.Stopped && u.Holders[c] > 0 {
			f.Stopped = append(f.Stopped, StoppedHolder{h.PID, h.Kind, u.Holders[c]})
		}
	}
	slices.SortFunc(f.Stopped, func(a, b StoppedHolder) int { return a.PID - b.PID })
	return f
}
