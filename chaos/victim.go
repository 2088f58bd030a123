package chaos

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/arena"
)

// roleEnv says in a process that a plan starts what it is to be.
const roleEnv = "KADRE_CHAOS_ROLE"

const (
	workers  = 2                // goroutines of a victim that do anything
	getters  = 2                // goroutines of a victim that wait for objects
	wakeTime = 10 * time.Second // for a getter to come back with an object that is sealed
)

var killJob = id.Job{'c', 'h', 'a', 'o', 's'}

// RunChild is a victim's life, in a process that a plan started; it returns at once in any other. A main that
// offers the plans calls it before anything else.
func RunChild() {
	if os.Getenv(roleEnv) == "" {
		return
	}
	run := victim
	if os.Getenv(roleEnv) == stuckRole {
		run = stuckNode
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// attachment is what a victim is told first.
type attachment struct {
	Slot  int
	Epoch uint64
	Seed  uint64
}

// order is what a victim is told later: "die" at a kill point after going by it some times, which is not
// answered; "rest"; then "count"; then "go on".
type order struct {
	Do           string
	Point, After int
}

// rest is a victim's answer; after "count" with how many different objects it holds.
type rest struct{ Held int }

// life is a victim at work. Its goroutines do each step under the read lock, but for waiting; who has the
// write lock has them rest.
type life struct {
	a       *arena.Arena
	resting sync.RWMutex
	deadly  atomic.Int64 // the kill point to die at, or anywhere
	after   atomic.Int64 // passes that it survives

	mu      sync.Mutex      // guards what follows; after resting
	held    map[uint64]int  // holds by object
	wants   map[int]int     // how many getters wait for each object
	waiting context.Context // of the getters; ends when they are to be counted
	stop    context.CancelFunc
}

// victim works until it is killed or its input ends.
func victim() error {
	in := json.NewDecoder(bufio.NewReader(os.Stdin))
	var at attachment
	if err := in.Decode(&at); err != nil {
		return fmt.Errorf("chaos: reading what to attach to: %w", err)
	}
	a, err := arena.Open([]int{3}, at.Slot, at.Epoch)
	if err != nil {
		return err
	}
	l := &life{a: a, held: map[uint64]int{}, wants: map[int]int{}}
	l.deadly.Store(anywhere)
	a.Provoke(l.pass)
	l.goOn()
	go l.listen()
	for g := range workers {
		go l.work(rand.New(rand.NewPCG(at.Seed, uint64(g))))
	}
	for g := range getters {
		go l.get(rand.New(rand.NewPCG(at.Seed, uint64(workers+g))))
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(rest{}); err != nil {
		return err
	}
	for {
		var o order
		if err := in.Decode(&o); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		var r rest
		switch o.Do {
		case "die":
			l.after.Store(int64(o.After))
			l.deadly.Store(int64(o.Point))
			continue
		case "rest":
			l.resting.Lock()
		case "count":
			if r.Held, err = l.count(); err != nil {
				return err
			}
		case "go on":
			l.goOn()
			l.resting.Unlock()
		}
		if err := out.Encode(r); err != nil {
			return err
		}
	}
}

// pass is called at every kill point.
func (l *life) pass(point int) {
	if l.deadly.Load() == int64(point) && l.after.Add(-1) < 0 {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}

// listen is the doorbell loop of the process. It sleeps until it is woken.
func (l *life) listen() {
	for last := uint32(0); ; last = l.a.DoorbellWait(last, time.Hour) {
		l.a.Poke()
	}
}

func (l *life) goOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.stop = context.WithCancel(context.Background())
}

// count ends the waiting of all getters, once none of them waits for what is there, and says how many objects are
// held. It is called while all processes rest.
func (l *life) count() (int, error) {
	if n, ok := l.settle(func(n int) bool { _, sealed := l.a.State(objectOf(n)); return sealed }); !ok {
		return 0, fmt.Errorf("chaos: a getter still waits for object %d, which is sealed: nobody woke it", n)
	}
	l.stop()
	if n, ok := l.settle(func(int) bool { return true }); !ok {
		return 0, fmt.Errorf("chaos: a getter waits for object %d although it was stopped", n)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held), nil
}

// settle waits until no getter wants such an object, or else names one.
func (l *life) settle(such func(n int) bool) (wanted int, ok bool) {
	for end := time.Now().Add(wakeTime); ; time.Sleep(50 * time.Microsecond) {
		l.mu.Lock()
		wanted, ok = 0, true
		for n := range l.wants {
			if such(n) {
				wanted, ok = n, false
			}
		}
		l.mu.Unlock()
		if ok || time.Now().After(end) {
			return wanted, ok
		}
	}
}
