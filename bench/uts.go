package bench

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"time"

	"github.com/kadrehq/kadre/api"
)

// The tree T1 of the Unbalanced Tree Search benchmark: geometric, b0 = 4, depth 10, seed 19, SHA-1.
const (
	utsSeed  = 19
	utsB0    = 4
	utsDepth = 10
	utsMost  = 100 // children of one node
	utsGrain = 1000
)

var utsIs = utsCount{Nodes: 4_130_071, Leaves: 3_305_118, Depth: utsDepth}

type (
	utsNode struct {
		State [sha1.Size]byte
		Depth int
	}
	utsCount struct{ Nodes, Leaves, Depth int }
)

func (c *utsCount) add(d utsCount) {
	c.Nodes += d.Nodes
	c.Leaves += d.Leaves
	c.Depth = max(c.Depth, d.Depth)
}

func utsRoot() []utsNode {
	var b [20]byte
	binary.BigEndian.PutUint32(b[16:], utsSeed)
	return []utsNode{{State: sha1.Sum(b[:])}}
}

// utsStep counts the node on top of the stack and puts its children there.
func utsStep(stack []utsNode, c *utsCount) []utsNode {
	n := stack[len(stack)-1]
	stack = stack[:len(stack)-1]
	c.Nodes++
	c.Depth = max(c.Depth, n.Depth)
	k := 0
	if n.Depth < utsDepth {
		p := float64(binary.BigEndian.Uint32(n.State[16:])&math.MaxInt32) / (1 << 31)
		k = min(utsMost, int(math.Floor(math.Log(1-p)/math.Log(1-1.0/(1+utsB0)))))
	}
	if k == 0 {
		c.Leaves++
	}
	var b [sha1.Size + 4]byte
	copy(b[:], n.State[:])
	for i := range k {
		binary.BigEndian.PutUint32(b[sha1.Size:], uint32(i))
		stack = append(stack, utsNode{State: sha1.Sum(b[:]), Depth: n.Depth + 1})
	}
	return stack
}

// utsSplit searches and hands half of the stack to give after every utsGrain nodes.
func utsSplit(stack []utsNode, give func([]utsNode)) (c utsCount) {
	for n := 0; len(stack) > 0; n++ {
		if n > 0 && n%utsGrain == 0 && len(stack) > 1 {
			half := len(stack) / 2
			give(stack[:half])
			stack = stack[half:]
		}
		stack = utsStep(stack, &c)
	}
	return c
}

var utsSearch *api.RemoteFunc1[[]utsNode, utsCount]

func init() { utsSearch = api.Func1(search) }

func search(ctx context.Context, stack []utsNode) (utsCount, error) {
	var parts []api.Ref[utsCount]
	c := utsSplit(stack, func(half []utsNode) { parts = append(parts, utsSearch.Remote(ctx, half)) })
	cs, err := api.GetAll(ctx, parts)
	for _, d := range cs {
		c.add(d)
	}
	return c, err
}

func goSearch(stack []utsNode) utsCount {
	var parts []chan utsCount
	c := utsSplit(stack, func(half []utsNode) {
		ch := make(chan utsCount, 1)
		parts = append(parts, ch)
		own := append([]utsNode(nil), half...)
		go func() { ch <- goSearch(own) }()
	})
	for _, ch := range parts {
		c.add(<-ch)
	}
	return c
}

func utsCheck(c utsCount, took time.Duration, err error) (float64, error) {
	if err == nil && c != utsIs {
		err = fmt.Errorf("counted %+v and not %+v", c, utsIs)
	}
	return perOp(took, 1, milliseconds), err
}

func utsTasks(ctx context.Context, _ int) (float64, error) {
	begin := time.Now()
	c, err := utsSearch.Remote(ctx, utsRoot()).Get(ctx)
	return utsCheck(c, time.Since(begin), err)
}

func utsGo(context.Context, int) (float64, error) {
	begin := time.Now()
	c := goSearch(utsRoot())
	return utsCheck(c, time.Since(begin), nil)
}

// utsSequential is one goroutine's time, divided by the CPUs.
func utsSequential(context.Context, int) (float64, error) {
	begin := time.Now()
	var c utsCount
	for stack := utsRoot(); len(stack) > 0; {
		stack = utsStep(stack, &c)
	}
	return utsCheck(c, time.Since(begin)/time.Duration(runtime.GOMAXPROCS(0)), nil)
}

// uts are the rows of an unbalanced tree.
func uts(row func(Scenario, func() (*Run, error)) Scenario) []Scenario {
	const work = "counts the 4,130,071 nodes of the UTS tree T1; a task gives half of its stack to a new task after every 1,000 nodes"
	sides := func(ref Side) func() (*Run, error) {
		return func() (*Run, error) { return &Run{Ours: utsTasks, Ref: ref}, nil }
	}
	return []Scenario{
		row(Scenario{Name: "uts-t1", Unit: milliseconds, N: 1, Work: work, RefName: "one goroutine's time divided by the CPUs"}, sides(utsSequential)),
		row(Scenario{Name: "uts-t1-go", Unit: milliseconds, N: 1, Work: work, RefName: "the same with a goroutine and a channel for each task"}, sides(utsGo)),
	}
}
