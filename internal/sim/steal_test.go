package sim

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/kadrehq/kadre/sched/steal"
)

// The cluster of this test: node 0 submits all tasks and owns them; the others steal, from it and from each
// other, and die. The owner is a model of package objstore's: it accepts the first seal of a task from an
// attempt that it has not fenced, and submits a task whose holder died again under the next attempt.

const (
	stealNodes = 5
	stealTasks = 200
	slotsEach  = 2
)

// task is what travels: the hops let the owner order reports of moves that overtake each other.
type task struct{ id, attempt, hops uint32 }

func (t task) encode() steal.Task {
	b := binary.BigEndian.AppendUint32(nil, t.id)
	b = binary.BigEndian.AppendUint32(b, t.attempt)
	return binary.BigEndian.AppendUint32(b, t.hops)
}

func decode(b steal.Task) task {
	return task{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])}
}

// place is one incarnation of a node.
type place struct{ node, life int }

// ask is one STEAL.
type ask struct {
	victim int
	thief  place
	seq    uint64
}

type record struct {
	attempt, hops uint32
	holder        place
	seals         int
}

type cluster struct {
	tb       testing.TB
	w        *World[steal.Msg]
	machines [stealNodes]*steal.Machine
	queues   [stealNodes][]task
	busy     [stealNodes]int
	asked    map[ask]bool // STEALs that have arrived
	tasks    [stealTasks]record
	dead     map[place]bool // verdicts that the owner has
	open     int            // tasks without a seal
	crashes  int
	moved    int
	refused  int
}

func name(i int) steal.Peer { return steal.Peer(fmt.Sprint("n", i)) }

func index(p steal.Peer) int { return int(p[1] - '0') }

func newCluster(tb testing.TB, seed uint64) *cluster {
	c := &cluster{tb: tb, asked: map[ask]bool{}, dead: map[place]bool{}, open: stealTasks}
	net := Net{Min: 100 * time.Microsecond, Max: 5 * time.Millisecond, Loss: 0.1, Dup: 0.1}
	c.w = New(seed, stealNodes, net, func(to, from int, m steal.Msg) {
		got, err := steal.Parse(m.Append(nil))
		if err != nil {
			tb.Fatal(err)
		}
		if m.Kind == steal.Steal {
			c.asked[ask{to, place{from, int(m.Epoch)}, m.Seq}] = true
		}
		c.step(to, steal.Recv{From: name(from), Msg: got, Rand: c.w.Rand.Uint64()})
	})
	for i := range stealNodes {
		c.start(i)
	}
	for i := range c.tasks {
		c.tasks[i] = record{attempt: 1, holder: place{0, 1}}
		c.queues[0] = append(c.queues[0], task{id: uint32(i), attempt: 1})
	}
	c.settle(0)
	return c
}

// start brings a machine up and has the others told of it, sooner or later.
func (c *cluster) start(i int) {
	c.machines[i] = steal.New(name(i), uint64(c.w.Life(i)))
	c.queues[i], c.busy[i] = nil, 0
	var life []steal.Peer
	for j := range stealNodes {
		if j == i {
			continue
		}
		if bit := i ^ j; bit&(bit-1) == 0 {
			life = append(life, name(j))
		}
		here, there := uint64(c.w.Life(i)), uint64(c.w.Life(j))
		c.w.On(j, c.w.Delay(), func() { c.step(j, steal.PeerUp{Peer: name(i), Epoch: here}) })
		if c.w.Up(j) {
			c.w.On(i, c.w.Delay(), func() { c.step(i, steal.PeerUp{Peer: name(j), Epoch: there}) })
		}
	}
	c.step(i, steal.Lifelines{Peers: life})
	c.settle(i)
	c.ticks(i)
}

func (c *cluster) ticks(i int) {
	c.w.On(i, 50*time.Millisecond, func() {
		c.step(i, steal.Tick{Rand: c.w.Rand.Uint64()})
		c.settle(i)
		c.ticks(i)
	})
}

// crash takes a node down; each other node gets the verdict later, and sometimes after its restart.
func (c *cluster) crash(i int) {
	c.crashes++
	was := place{i, c.w.Life(i)}
	c.w.Crash(i)
	for j := range stealNodes {
		if j != i {
			c.w.On(j, 10*time.Millisecond+10*c.w.Delay(), func() { c.verdict(j, was) })
		}
	}
	away := []time.Duration{2 * time.Millisecond, 100 * time.Millisecond}[c.w.Rand.IntN(2)]
	c.w.After(time.Duration(c.w.Rand.Int64N(int64(away))), func() {
		c.w.Restart(i)
		c.start(i)
	})
}

func (c *cluster) verdict(at int, p place) {
	c.step(at, steal.PeerDown{Peer: name(p.node), Epoch: uint64(p.life), Rand: c.w.Rand.Uint64()})
	if at == 0 {
		c.dead[p] = true
		for id := range c.tasks {
			c.mend(uint32(id))
		}
	}
	c.settle(at)
}

// mend is the owner's: a task whose holder is dead gets its next attempt.
func (c *cluster) mend(id uint32) {
	r := &c.tasks[id]
	if r.seals > 0 || !c.dead[r.holder] {
		return
	}
	r.attempt++
	r.hops, r.holder = 0, place{0, c.w.Life(0)}
	c.queues[0] = append(c.queues[0], task{id: id, attempt: r.attempt})
}

// atOwner is a report that arrives for certain once it is out, after a delay.
func (c *cluster) atOwner(f func()) { c.w.After(c.w.Delay(), f) }

// step is the shell: it feeds the machine and carries its actions out.
func (c *cluster) step(i int, ev steal.Event) {
	for _, a := range c.machines[i].Step(ev, int64(c.w.Now())) {
		switch a := a.(type) {
		case steal.Send:
			if m := a.Msg; m.Kind == steal.Grant && !c.asked[ask{i, place{index(a.To), int(m.To)}, m.Seq}] {
				c.tb.Fatal("a GRANT without its STEAL")
			}
			c.w.Send(i, index(a.To), a.Msg)
		case steal.TakeTasks:
			c.w.On(i, c.w.Delay(), func() { c.take(i, a) })
		case steal.Requeue:
			for _, b := range a.Tasks {
				c.queues[i] = append(c.queues[i], decode(b))
			}
		case steal.RunTasks:
			for _, b := range a.Tasks {
				t := decode(b)
				t.hops++
				c.queues[i] = append(c.queues[i], t)
			}
			c.settle(i)
		case steal.Moved:
			c.moved += len(a.Tasks)
			to := place{index(a.Peer), int(a.Epoch)}
			for _, b := range a.Tasks {
				t := decode(b)
				c.atOwner(func() { c.report(t, to) })
			}
		}
	}
}

// report is the owner's: t was moved to a place, which may be known to be dead.
func (c *cluster) report(t task, to place) {
	r := &c.tasks[t.id]
	if t.attempt == r.attempt && t.hops >= r.hops {
		r.hops, r.holder = t.hops+1, to
		c.mend(t.id)
	}
}

func (c *cluster) take(i int, a steal.TakeTasks) {
	n := min((len(c.queues[i])+1)/2, a.Max)
	var ts []steal.Task
	for _, t := range c.queues[i][:n] {
		ts = append(ts, t.encode())
	}
	c.queues[i] = c.queues[i][n:]
	c.step(i, steal.Taken{Peer: a.Peer, Seq: a.Seq, Tasks: ts})
	c.settle(i)
}

// settle starts what can start and tells the machine how the queue stands.
func (c *cluster) settle(i int) {
	if !c.w.Up(i) {
		return
	}
	for c.busy[i] < slotsEach && len(c.queues[i]) > 0 {
		q := c.queues[i]
		t := q[len(q)-1]
		c.queues[i] = q[:len(q)-1]
		c.busy[i]++
		c.w.On(i, time.Duration(c.w.Rand.Int64N(int64(20*time.Millisecond))), func() {
			c.busy[i]--
			c.atOwner(func() { c.seal(t) })
			c.settle(i)
		})
	}
	c.step(i, steal.HasWork{N: len(c.queues[i])})
	free := uint32(0)
	if len(c.queues[i]) == 0 {
		free = uint32(slotsEach-c.busy[i]) * 1000
	}
	c.step(i, steal.Idle{Free: free, Rand: c.w.Rand.Uint64()})
}

// seal is the owner's.
func (c *cluster) seal(t task) {
	r := &c.tasks[t.id]
	if t.attempt != r.attempt || r.seals > 0 {
		c.refused++
		return
	}
	r.seals++
	c.open--
}

// granted is how many tasks wait for an ACK.
func (c *cluster) granted() (n int) {
	for i, m := range c.machines {
		if c.w.Up(i) {
			n += m.Granted()
		}
	}
	return n
}

// No task is lost, and none is sealed twice, whoever dies at whatever step.
func TestStealing(t *testing.T) {
	var moved, refused, crashes int
	Seeds(t, 1000, func(tb testing.TB, seed uint64) {
		c := newCluster(tb, seed)
		type death struct{ step, node int }
		deaths := make([]death, c.w.Rand.IntN(4))
		for i := range deaths {
			deaths[i] = death{c.w.Rand.IntN(900), 1 + c.w.Rand.IntN(stealNodes-1)}
		}
		ok := c.w.Run(100_000, func() bool {
			for i, d := range deaths {
				if d.node > 0 && c.w.Steps() >= d.step && c.w.Up(d.node) {
					deaths[i].node = 0
					c.crash(d.node)
				}
			}
			return c.open == 0 && c.granted() == 0
		})
		if !ok {
			tb.Errorf("%d tasks open, %d granted after %v and %d steps: %+v", c.open, c.granted(), c.w.Now(), c.w.Steps(), c.tasks)
		}
		for id, r := range c.tasks {
			if r.seals > 1 || c.crashes == 0 && r.attempt > 1 {
				tb.Errorf("task %d sealed %d times, %d attempts", id, r.seals, r.attempt)
			}
		}
		if c.crashes == 0 && c.refused > 0 {
			tb.Errorf("%d tasks ran twice although nobody died", c.refused)
		}
		moved += c.moved
		refused += c.refused
		crashes += c.crashes
	})
	t.Logf("%d crashes, %d moves, %d seals refused", crashes, moved, refused)
}
