package testbed_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
	"github.com/kadrehq/kadre/internal/trace"
)

const (
	stolenTasks = 300
	taskWork    = 20 * time.Millisecond
	leastShare  = stolenTasks / 5
)

// A node's ring keeps enough events for the test.
const _ = uint(trace.Size - 4096)

func init() {
	drivers["flood"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		var refs []api.Ref[Where]
		for range stolenTasks {
			refs = append(refs, WhereAfter.Remote(ctx, taskWork))
		}
		all, err := api.GetAll(ctx, refs)
		if err != nil {
			return err
		}
		return s.Say(all)
	})
}

func TestStealing(t *testing.T) {
	bed := testbed.New(t)
	var nodes []*testbed.Node
	for range 3 {
		nodes = append(nodes, bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1"}}))
	}
	testbed.AwaitMembers(nodes...)
	d := nodes[0].Driver("flood")
	var all []Where
	d.Hear(&all)
	d.Succeed(10 * time.Second)

	ran := map[string][]string{} // tasks by node
	seen := map[string]bool{}
	for _, w := range all {
		if seen[w.Task] {
			t.Errorf("task %s gave two results", w.Task)
		}
		seen[w.Task] = true
		ran[w.Node] = append(ran[w.Node], w.Task)
	}
	if len(all) != stolenTasks {
		t.Fatalf("%d results of %d", len(all), stolenTasks)
	}
	for i, thief := range nodes {
		t.Logf("node %d ran %d tasks", i, len(ran[thief.ID]))
		if i == 0 {
			continue
		}
		if len(ran[thief.ID]) < leastShare {
			t.Errorf("node %d ran %d of %d tasks, fewer than %d", i, len(ran[thief.ID]), stolenTasks, leastShare)
		}
		checkStolen(t, thief, ran[thief.ID])
	}
	if s := nodes[0].Status(); s.Steals.TasksOut < int64(2*leastShare) {
		t.Errorf("the victim counts %+v", s.Steals)
	}
}

// checkStolen checks that each task came by a grant that answers a STEAL which the thief had sent before.
func checkStolen(t *testing.T, thief *testbed.Node, tasks []string) {
	t.Helper()
	const layer, asked, granted, came = "steal", "STEAL", "GRANT", "stolen"
	type exchange struct {
		kind, text, peer string
		n                int64
	}
	events := thief.Events()
	slices.SortFunc(events, func(a, b trace.Event) int { return int(int64(a.Seq) - int64(b.Seq)) })
	at := map[exchange]uint64{} // when it was first
	when := map[string]uint64{} // by task: its grant
	for _, e := range events {
		if e.Layer != layer {
			continue
		}
		x := exchange{e.Kind, e.Text, e.Peer, e.N}
		if _, ok := at[x]; !ok {
			at[x] = e.Seq
		}
		if e.Kind != came {
			continue
		}
		grant, ok := at[exchange{granted, "received", e.Peer, e.N}]
		steal, asking := at[exchange{asked, "sent", e.Peer, e.N}]
		if !ok || !asking || steal > grant || grant > e.Seq {
			t.Errorf("task %s came with event %d: its GRANT is event %d (%v), the STEAL before it %d (%v)", e.Task, e.Seq, grant, ok, steal, asking)
		}
		for _, task := range stolen(t, e) {
			when[task] = grant
		}
	}
	for _, task := range tasks {
		if when[task] == 0 {
			t.Errorf("task %s ran on %s, whose ring of %d events does not tell how it came", task, thief.Name, len(events))
		}
	}
}

// stolen names the tasks that came with an event: one, or a range of them.
func stolen(t *testing.T, e trace.Event) (tasks []string) {
	t.Helper()
	n := 1
	if e.Text != "" {
		if _, err := fmt.Sscanf(e.Text, "%d tasks from this one on", &n); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
	}
	b, err := hex.DecodeString(e.Task)
	if err != nil || len(b) != 16 {
		t.Fatalf("%+v: %v", e, err)
	}
	for range n {
		tasks = append(tasks, hex.EncodeToString(b))
		binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+1)
	}
	return tasks
}
