package node

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/trace"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore"
	"github.com/kadrehq/kadre/p2p"
	"github.com/kadrehq/kadre/p2p/directory"
)

// Status is a copy of where a node stands. It prints, and encodes as JSON.
type Status struct {
	Node       id.Node            `json:"node"`
	Epoch      uint64             `json:"epoch"`
	PID        int                `json:"pid"`
	Cluster    string             `json:"cluster"`
	Addrs      []string           `json:"addrs"`
	Tokens     []string           `json:"tokens"` // fingerprints: the one that is proved to others, then what else is accepted
	Socket     string             `json:"socket"`
	UptimeSec  float64            `json:"uptime_sec"`
	Goroutines int                `json:"goroutines"`
	Draining   bool               `json:"draining,omitempty"`
	CPUs       CPUs               `json:"cpus"`
	Resources  map[string]float64 `json:"resources"`
	Available  map[string]float64 `json:"available"`
	Labels     map[string]string  `json:"labels,omitempty"`
	Members    []MemberStatus     `json:"members"`  // this node first
	Gone       []MemberStatus     `json:"gone"`     // dead or left, and not forgotten yet
	Disputed   []MemberStatus     `json:"disputed"` // on whom this node and the others differ
	Troubles   []p2p.Trouble      `json:"troubles"` // why nodes are not reached
	Table      int                `json:"routing_table"`
	Records    uint64             `json:"records_held"`
	Directory  directory.Stats    `json:"directory"`
	Names      NamesStatus        `json:"names"`
	Store      StoreStatus        `json:"store"`
	Transfers  objstore.Stats     `json:"transfers"`
	Jobs       []JobStatus        `json:"jobs"`
	Drivers    []ProcessStatus    `json:"drivers"`
	Workers    []ProcessStatus    `json:"workers"`
	Queued     Queued             `json:"queued"`
	Groups     []GroupStatus      `json:"groups"` // placement groups
	Steals     StealStatus        `json:"steals"`
	Bytes      TrafficStatus      `json:"bytes"`
}

// CPUs says how many CPUs tasks may use, and how many of them are free.
type CPUs struct {
	Total float64 `json:"total"`
	Free  float64 `json:"free"`
}

// MemberStatus is one node of the cluster.
type MemberStatus struct {
	ID    id.Node  `json:"id"`
	Addrs []string `json:"addrs"`
	Found string   `json:"found"`
	Via   string   `json:"via"`
	Token string   `json:"token,omitempty"` // the fingerprint of the one that it proved
	State string   `json:"state"`
	Said  string   `json:"said,omitempty"` // the same by the others
	Epoch uint64   `json:"epoch"`
	RTTus float64  `json:"rtt_us,omitempty"` // of a control round trip
	In    uint64   `json:"in,omitempty"`     // bytes of control frames, on the lane there is now
	Out   uint64   `json:"out,omitempty"`
}

// membersOf brings together what the host says of members and of the lanes to them.
func membersOf(ms []p2p.Member, lanes []p2p.LaneStatus) (l []MemberStatus) {
	by := map[id.Node]p2p.LaneStatus{}
	for _, x := range lanes {
		by[x.Peer] = x
	}
	for _, m := range ms {
		x := by[m.ID]
		l = append(l, MemberStatus{ID: m.ID, Addrs: m.Addrs, Found: m.Found, Via: m.Via, Token: m.Token, State: m.State, Said: m.Said, Epoch: m.Epoch,
			RTTus: float64(m.RTT) / float64(time.Microsecond), In: x.In, Out: x.Out})
	}
	return l
}

// StoreStatus is what the arena holds.
type StoreStatus struct {
	Objects int    `json:"objects"` // in any state
	Holders int    `json:"holders"` // holds of all processes together
	Blocks  int    `json:"blocks"`  // blocks and granules in use
	Bytes   int64  `json:"bytes"`
	Pages   int64  `json:"pages"` // bytes of memory taken from the system
	Size    int64  `json:"size"`
	Backing string `json:"backing"`

	Spilled      int    `json:"spilled"` // objects in files, some of which are in memory too
	SpilledBytes int64  `json:"spilled_bytes"`
	SpillDisk    int64  `json:"spill_disk"` // bytes of the files
	SpillDir     string `json:"spill_dir"`
}

// JobStatus is a job that the node knows.
type JobStatus struct {
	Job    string  `json:"job"`
	Driver string  `json:"driver"`
	Home   id.Node `json:"node"`
	Ready  bool    `json:"ready"`

	// In the view "jobs" only. Tasks that ran are about.
	PID     int     `json:"pid"` // the driver's
	AgeSec  float64 `json:"age_sec"`
	Done    int64   `json:"done"`
	Failed  int64   `json:"failed"`
	Queued  int     `json:"queued"`
	Running int     `json:"running"`
	Waiting int     `json:"waiting"`
	Objects int     `json:"objects"` // in the stores of nodes; one that two nodes have counts for both
	Bytes   int64   `json:"bytes"`
}

// ProcessStatus is a driver or worker of the node.
type ProcessStatus struct {
	PID    int    `json:"pid"`
	Job    string `json:"job"`
	Proc   string `json:"proc"` // none before it has attached
	Kind   string `json:"kind"` // "driver", or what a worker is for: "shared", "task", "actor"
	Func   string `json:"func"`
	Queued int    `json:"queued"`
	Placed int    `json:"placed"` // placed tasks and actors that it runs

	// In the views "status" and "workers" only.
	Abandoned int64 `json:"abandoned"` // tasks that ran on after their end

	// In the view "workers" only.
	Node    id.Node  `json:"node,omitempty"`
	State   string   `json:"state,omitempty"` // "starting", "idle", "running", "waiting", "stopped", "silent"
	Running []string `json:"running"`
	Memory  int64    `json:"memory,omitempty"` // resident bytes, of the store too
	AgeSec  float64  `json:"age_sec"`
}

// Queued counts what waits on the node: for resources, for a process of its own, for a worker or job.
type Queued struct {
	Resources  int `json:"resources"`
	OwnProcess int `json:"own_process"`
	Worker     int `json:"worker"`
}

// StealStatus counts stealing between nodes, as thief and as victim.
type StealStatus struct {
	Sent     uint64 `json:"sent"`
	Denied   uint64 `json:"denied"`
	Granted  uint64 `json:"granted"`
	TasksIn  uint64 `json:"tasks_in"`
	TasksOut uint64 `json:"tasks_out"`
}

// TrafficStatus counts what went between nodes: control frames, and objects.
type TrafficStatus struct {
	In        uint64 `json:"in"`
	Out       uint64 `json:"out"`
	FramesIn  uint64 `json:"frames_in"`
	FramesOut uint64 `json:"frames_out"`
	Dropped   uint64 `json:"dropped"` // frames
	ExeOut    uint64 `json:"exe_out"` // bytes of executables given to other nodes
}

// Status tells where the node stands.
func (n *Node) Status() Status {
	c := &n.stats
	s := Status{Node: n.id, Epoch: n.epoch, PID: os.Getpid(), Cluster: n.cfg.Cluster, Addrs: n.Addrs(), Socket: n.socket,
		UptimeSec: time.Since(n.started).Seconds(), Goroutines: runtime.NumGoroutine(), Labels: n.cfg.Labels, Names: n.namesStatus(), Store: n.storeStatus(), Transfers: n.store.Stats(),
		Steals: StealStatus{c.stealsSent.Load(), c.stealsDenied.Load(), c.stealsGranted.Load(), c.tasksIn.Load(), c.tasksOut.Load()},
		Bytes:  TrafficStatus{c.bytesIn.Load(), c.bytesOut.Load(), c.framesIn.Load(), c.framesOut.Load(), c.dropped.Load(), c.exeSent.Load()}}
	s.Members = []MemberStatus{{ID: n.id, Addrs: s.Addrs, Found: "self", State: "alive", Epoch: n.epoch}}
	if n.host != nil {
		h := n.host.Status()
		s.Table, s.Directory, s.Records = h.RoutingTable, h.Directory, h.Directory.Held
		s.Members, s.Gone, s.Disputed = membersOf(h.Members, h.Lanes), membersOf(h.Gone, nil), membersOf(h.Disputed, nil)
		s.Troubles, s.Tokens = h.Troubles, h.Tokens
		s.Bytes.In += h.BulkIn
		s.Bytes.Out += h.BulkOut
	}
	total, free := n.arena.CPUs()
	s.CPUs = CPUs{float64(total) / 1000, float64(free) / 1000}
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.hereLocked()
	s.Resources, s.Available, s.Draining = h.resources, h.available, n.draining
	s.Queued = Queued{Resources: n.place.waiting(), OwnProcess: len(n.place.own)}
	s.Groups = n.groupRowsLocked()
	for _, name := range slices.SortedFunc(maps.Keys(n.jobs), func(a, b id.Job) int { return strings.Compare(string(a[:]), string(b[:])) }) {
		j := n.jobs[name]
		s.Jobs = append(s.Jobs, JobStatus{Job: name.String(), Driver: j.desc.Driver.String(), Home: j.desc.Home, Ready: j.ready})
		s.Queued.Worker += len(j.waiting)
	}
	for _, p := range *n.procs.Load() {
		if p.worker == nil {
			s.Drivers = append(s.Drivers, n.processLocked(p, ProcessStatus{Kind: wire.AttachDriver, PID: p.pid, Job: p.job.String()}))
		}
	}
	for _, w := range n.workers {
		s.Queued.Worker += len(w.waiting)
		st := ProcessStatus{PID: w.pid, Job: w.job.id.String(), Kind: w.duty.String(), Func: w.fn}
		if w.proc != nil {
			st = n.processLocked(w.proc, st)
		}
		s.Workers = append(s.Workers, st)
	}
	for _, l := range [][]ProcessStatus{s.Drivers, s.Workers} {
		slices.SortFunc(l, func(a, b ProcessStatus) int { return a.PID - b.PID })
	}
	return s
}

func (n *Node) processLocked(p *process, s ProcessStatus) ProcessStatus {
	s.Proc, s.Queued, s.Placed = p.addr.Proc.String(), n.queuedOf(p), len(p.errands)
	return s
}

func (n *Node) storeStatus() StoreStatus {
	t := n.arena.Tally()
	s := StoreStatus{Objects: t.Objects, Holders: t.Holders, Blocks: t.Room, Bytes: t.Bytes, Pages: t.Committed,
		Size: n.arena.Size(), Backing: n.arena.Backing().Kind}
	f := n.store.Spilled()
	s.Spilled, s.SpilledBytes, s.SpillDisk, s.SpillDir = f.Objects, f.Bytes, f.Disk, n.spillDir()
	return s
}

// statusAnswer bounds the wait for what processes know of themselves, where only a status is asked for.
const statusAnswer = 300 * time.Millisecond

// fullStatus is Status with what only its processes know.
func (n *Node) fullStatus(ctx context.Context) Status {
	ctx, cancel := context.WithTimeout(ctx, statusAnswer)
	defer cancel()
	looks := n.lookAll(ctx, false)
	s := n.Status()
	for _, ps := range [][]ProcessStatus{s.Drivers, s.Workers} {
		for i := range ps {
			if k := slices.IndexFunc(looks, func(l look) bool { return l.p.addr.Proc.String() == ps[i].Proc }); k >= 0 {
				ps[i].Abandoned = looks[k].said.Abandoned
			}
		}
	}
	return s
}

// String is the status for people.
func (s Status) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "node %s of cluster %q, process %d, up %v", s.Node, s.Cluster, s.PID, time.Duration(s.UptimeSec*1e9).Round(time.Second))
	if s.Draining {
		b.WriteString(", draining")
	}
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nsocket\t%s\n", s.Socket)
	for _, a := range s.Addrs {
		fmt.Fprintf(w, "listens on\t%s\n", a)
	}
	for i, t := range s.Tokens {
		fmt.Fprintf(w, "token\t%s (%s)\n", t, [...]string{"proves", "accepts"}[min(i, 1)])
	}
	fmt.Fprintf(w, "CPUs\t%v of %v free\n", s.CPUs.Free, s.CPUs.Total)
	for _, k := range slices.Sorted(maps.Keys(s.Resources)) {
		if k != cpuName {
			free, all := fmt.Sprint(s.Available[k]), fmt.Sprint(s.Resources[k])
			if k == wire.Memory {
				free, all = sizeText(int64(s.Available[k])), sizeText(int64(s.Resources[k]))
			}
			fmt.Fprintf(w, "%s\t%s of %s free\n", k, free, all)
		}
	}
	fmt.Fprintf(w, "store\t%d objects of %.1f MiB in %.0f MiB of %s memory (%.1f MiB taken), held %d times\n", s.Store.Objects, mib(s.Store.Bytes), mib(s.Store.Size), s.Store.Backing, mib(s.Store.Pages), s.Store.Holders)
	fmt.Fprintf(w, "spilled\t%d objects of %.1f MiB, in files of %.1f MiB in %s\n", s.Store.Spilled, mib(s.Store.SpilledBytes), mib(s.Store.SpillDisk), s.Store.SpillDir)
	fmt.Fprintf(w, "directory\t%d records held, %d of %d lookups found, %d nodes in the routing table\n", s.Records, s.Directory.Hits, s.Directory.Hits+s.Directory.Misses, s.Table)
	if len(s.Names.Registrars) > 0 {
		fmt.Fprintf(w, "names\t%d actors here have one; kept by %s\n", s.Names.Held, shortNames(s.Names.Registrars))
	}
	fmt.Fprintf(w, "steals\t%d sent, %d granted, %d denied; %d tasks came, %d went\n", s.Steals.Sent, s.Steals.Granted, s.Steals.Denied, s.Steals.TasksIn, s.Steals.TasksOut)
	fmt.Fprintf(w, "network\t%.1f MiB in, %.1f MiB out\n", mib(int64(s.Bytes.In)), mib(int64(s.Bytes.Out)))
	fmt.Fprintf(w, "waiting\t%d tasks for resources, %d for a process of their own, %d for a worker\n", s.Queued.Resources, s.Queued.OwnProcess, s.Queued.Worker)
	for _, g := range s.Groups {
		for i, b := range g.Bundles {
			fmt.Fprintf(w, "%s\tbundle %d of placement group %s: %v\n", g.State, i, g.Short(), b)
		}
	}
	w.Flush()
	s.writeMembers(w)
	w.Flush()
	if len(s.Drivers)+len(s.Workers) > 0 {
		fmt.Fprintf(w, "\nprocess\tkind\tjob\tqueued\tplaced\tfunction\n")
		for _, p := range slices.Concat(s.Drivers, s.Workers) {
			fmt.Fprintf(w, "%d\t%s\t%s\t%d\t%d\t%s\n", p.PID, p.Kind, p.Job, p.Queued, p.Placed, p.Func)
		}
		w.Flush()
		for _, p := range slices.Concat(s.Drivers, s.Workers) {
			if p.Abandoned > 0 {
				fmt.Fprintf(&b, "\n%d tasks that did not heed their end were abandoned in process %d: their goroutines go on\n", p.Abandoned, p.PID)
			}
		}
	}
	return b.String()
}

// writeMembers tells of the other nodes: how they were found, how they are reached, and where views differ.
func (s Status) writeMembers(w io.Writer) {
	fmt.Fprintf(w, "\nnode\tstate\tfound by\tvia\tround trip\tKiB in\tKiB out\taddress\n")
	for _, m := range slices.Concat(s.Members, s.Gone) {
		addr, trip := "", ""
		if len(m.Addrs) > 0 {
			addr = m.Addrs[0]
		}
		if m.RTTus > 0 {
			trip = fmt.Sprintf("%.0f us", m.RTTus)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.1f\t%.1f\t%s\n", m.ID.Short(), m.State, m.Found, m.Via, trip, float64(m.In)/1024, float64(m.Out)/1024, addr)
	}
	for _, m := range s.Disputed {
		fmt.Fprintf(w, "\ndisputed\t%s is %s here, and %s as the others have it\n", m.ID.Short(), m.State, cmp.Or(m.Said, "unknown"))
	}
	if len(s.Troubles) > 0 {
		fmt.Fprintf(w, "\n%d nodes or addresses could not be reached, or did not get in: 'kadre doctor' says why\n", len(s.Troubles))
	}
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// Events are the node's last events, oldest first.
func (n *Node) Events() []trace.Event { return n.events.Events() }

// allEvents are those of the node and of the processes that are attached to it, in the order of time.
func (n *Node) allEvents(ctx context.Context) []trace.Event {
	all := n.Events()
	for _, es := range n.eventsOf(ctx) {
		all = append(all, es...)
	}
	slices.SortStableFunc(all, func(a, b trace.Event) int { return cmp.Compare(a.Time, b.Time) })
	return all
}

// eventsOf asks the processes for theirs. Who does not answer in time is left out.
func (n *Node) eventsOf(ctx context.Context) (all [][]trace.Event) {
	ctx, cancel := context.WithTimeout(ctx, processAnswer)
	defer cancel()
	body := wire.Marshal(&wire.StatusQuery{What: "events"})
	procs := *n.procs.Load()
	said := make(chan []trace.Event, len(procs))
	for _, p := range procs {
		n.request(p.addr, wire.KStatus, body, func(b []byte, err error) {
			var es []trace.Event
			if err == nil {
				err = json.Unmarshal(b, &es)
			}
			if err != nil {
				n.log.Debug("node: a process does not tell its events", "pid", p.pid, "err", err)
			}
			for i := range es {
				es[i].Peer = p.addr.String()
			}
			said <- es
		})
	}
	for range procs {
		select {
		case es := <-said:
			all = append(all, es)
		case <-ctx.Done():
			return all
		}
	}
	return all
}

// view gives one view of the node for those who ask by socket or message. It may wait for processes and nodes.
// All but "drain" only look.
func (n *Node) view(ctx context.Context, what string) (any, error) {
	if v, ok := n.lookView(ctx, what); ok {
		if err, bad := v.(error); bad {
			return nil, err
		}
		return v, nil
	}
	if which, ok := strings.CutPrefix(what, viewAt); ok {
		return n.viewAt(ctx, which)
	}
	if cursor, ok := strings.CutPrefix(what, "objects"); ok {
		return n.objects(cursor, maxListed)
	}
	switch what {
	case "", "status":
		return n.fullStatus(ctx), nil
	case "events":
		return n.allEvents(ctx), nil
	case "nodes":
		return n.nodes(), nil
	case "memory":
		return n.memory(), nil
	case "fsck":
		return n.fsck(), nil
	case "drain":
		n.BeginDrain()
		return n.fullStatus(ctx), nil
	}
	return nil, fmt.Errorf("node: no view %q of a node: ask for status, events, nodes, memory, objects, fsck, drain, tasks, waits, workers, jobs or actors, or all of these, such as \"all tasks\"", what)
}

// viewAt is what another node says of itself: "NODE VIEW".
func (n *Node) viewAt(ctx context.Context, which string) (any, error) {
	at, what, _ := strings.Cut(which, " ")
	if strings.HasPrefix(what, viewAt) {
		return nil, fmt.Errorf("node: the view %q is of another node: ask that one", what)
	}
	if id.Node(at) == n.id {
		return n.view(ctx, what)
	}
	ctx, cancel := context.WithTimeout(ctx, memberAnswer)
	defer cancel()
	b, err := n.ask(ctx, id.Addr{Node: id.Node(at)}, wire.KStatus, wire.Marshal(&wire.StatusQuery{What: what}))
	return json.RawMessage(b), err
}

// viewJSON is view, within what one message takes.
func (n *Node) viewJSON(ctx context.Context, what string, limit int) ([]byte, error) {
	v, err := n.view(ctx, what)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(v)
	if events, ok := v.([]trace.Event); ok {
		for err == nil && len(b) > limit {
			events = events[len(events)/4+1:]
			b, err = json.Marshal(events)
		}
	}
	if rows, ok := v.(shorter); ok {
		for err == nil && len(b) > limit {
			rows.shorten()
			b, err = json.Marshal(rows)
		}
	}
	if err == nil && len(b) > limit {
		err = fmt.Errorf("node: the view %q takes %d bytes, at most %d", what, len(b), limit)
	}
	return b, err
}

// answer serves a query on the socket.
func (n *Node) answer(c *net.UnixConn, what string) {
	var a wire.Answer
	b, err := n.viewJSON(n.ctx, what, wire.MaxAttach-1024)
	if a.JSON = b; err != nil {
		a.Err = asRecord(err, wire.ErrorInternal)
	}
	c.SetWriteDeadline(time.Now().Add(noticeTime))
	if err := wire.SendMsg(c, &a); err != nil {
		n.log.Debug("node: a query went unanswered", "what", what, "err", err)
	}
}

// statusFrame serves a query of a process or node.
func (n *Node) statusFrame(f *wire.Frame) error {
	var q wire.StatusQuery
	if err := wire.Unmarshal(f.Body, &q); err != nil {
		return err
	}
	return n.later(f, func(ctx context.Context, _ *wire.Frame) ([]byte, error) {
		return n.viewJSON(ctx, q.What, wire.MaxBody-1024)
	})
}
