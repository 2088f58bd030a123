package chaos

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/objstore/arena"
)

// roleEnv says in a process that a plan starts what it is to be.
const roleEnv = "KADRE_CHAOS_ROLE"

const (
	objects    = 200 // IDs that the victims share
	workers    = 2   // goroutines of a victim that do anything
	getters    = 2   // goroutines of a victim that wait for objects
	mostHeld   = 8   // objects that a worker holds at a time
	smallBytes = 3000
	largeBytes = 300 << 10
	getWithin  = 50 * time.Millisecond
)

var killJob = id.Job{'c', 'h', 'a', 'o', 's'}

// RunChild is a victim's life, in a process that a plan started; it returns at once in any other. A main that
// offers the plans calls it before anything else.
func RunChild() {
	if os.Getenv(roleEnv) == "" {
		return
	}
	if err := victim(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// objectOf is the name of object n.
func objectOf(n int) (o id.Object) {
	o[0], o[1], o[19] = byte(n), byte(n>>8), byte(n*31)
	return o
}

// pattern is what objects consist of, twice: object n repeats it from byte 64 n on.
var pattern = func() []byte {
	b := make([]byte, 2*period)
	for i := range b {
		b[i] = byte(i >> 6)
	}
	return b
}()

const period = 64 << 8

// expected calls f for each piece of object n with what it must be.
func expected(b []byte, n int, f func(is, want []byte)) {
	from := pattern[n*64%period:]
	for len(b) > 0 {
		m := min(len(b), period)
		f(b[:m], from[:m])
		b = b[m:]
	}
}

func fill(b []byte, n int) { expected(b, n, func(is, want []byte) { copy(is, want) }) }

func check(b []byte, n int) (err error) {
	expected(b, n, func(is, want []byte) {
		if !bytes.Equal(is, want) {
			err = fmt.Errorf("chaos: object %d of %d bytes is corrupt", n, len(b))
		}
	})
	return err
}

// attachment is what a victim is told first.
type attachment struct {
	Slot  int
	Epoch uint64
	Seed  uint64
}

// rest is what a victim says when it was told to rest: how many different objects it holds.
type rest struct{ Held int }

// life is a victim at work. Its goroutines do each step under the read lock; who has the write lock has
// them rest.
type life struct {
	a       *arena.Arena
	resting sync.RWMutex

	mu      sync.Mutex      // guards what follows; after resting
	held    map[*byte]int   // by where they are: a deleted object and a new one may have one name
	waiting context.Context // of the getters; ends when they are to rest
	stop    context.CancelFunc
}

// victim works until it is killed or its input ends. Each line of the input has it rest, or go on.
func victim() error {
	in := bufio.NewReader(os.Stdin)
	var at attachment
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &at)
	}
	if err != nil {
		return fmt.Errorf("chaos: reading what to attach to: %w", err)
	}
	a, err := arena.Open([]int{3}, at.Slot, at.Epoch)
	if err != nil {
		return err
	}
	l := &life{a: a, held: map[*byte]int{}}
	l.goOn()
	go l.listen()
	for g := range workers {
		go l.forever(l.mischief, rand.New(rand.NewPCG(at.Seed, uint64(g))))
	}
	for g := range getters {
		go l.forever(l.wait, rand.New(rand.NewPCG(at.Seed, uint64(workers+g))))
	}
	out := json.NewEncoder(os.Stdout)
	for {
		if err := out.Encode(rest{}); err != nil {
			return err
		}
		if _, err := in.ReadString('\n'); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		l.stop()
		l.resting.Lock()
		if err := out.Encode(rest{l.holds()}); err != nil {
			return err
		}
		if _, err := in.ReadString('\n'); err != nil {
			return nil
		}
		l.goOn()
		l.resting.Unlock()
	}
}

func (l *life) goOn() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting, l.stop = context.WithCancel(context.Background())
}

func (l *life) holds() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.held)
}

// listen is the doorbell loop of the process.
func (l *life) listen() {
	for last := uint32(0); ; last = l.a.DoorbellWait(last, time.Second) {
		l.a.Poke()
	}
}

// kept is an object that a goroutine holds.
type kept struct {
	*arena.Hold
	n int
}

// forever takes steps until the process dies. What a step wants kept is held over many steps.
func (l *life) forever(step func(*rand.Rand) (*arena.Hold, int, error), r *rand.Rand) {
	var mine []kept
	for {
		l.resting.RLock()
		h, n, err := step(r)
		if h != nil {
			l.count(h, 1)
			mine = append(mine, kept{h, n})
			if h.Attempt() != uint32(n) || h.ID() != objectOf(n) {
				err = fmt.Errorf("chaos: object %d is %s, attempt %d", n, h.ID(), h.Attempt())
			}
		}
		for len(mine) > 0 && err == nil && (len(mine) > mostHeld || r.IntN(3) == 0) {
			i := r.IntN(len(mine))
			k := mine[i]
			err = check(k.Bytes(), k.n)
			l.count(k.Hold, -1)
			k.Release()
			mine[i] = mine[len(mine)-1]
			mine = mine[:len(mine)-1]
		}
		l.resting.RUnlock()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(3)
		}
	}
}

func (l *life) count(h *arena.Hold, n int) {
	o := &h.Bytes()[0]
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[o] += n; l.held[o] == 0 {
		delete(l.held, o)
	}
}

// mischief is one random thing that a process may do.
func (l *life) mischief(r *rand.Rand) (*arena.Hold, int, error) {
	n := r.IntN(objects)
	switch r.IntN(8) {
	case 0, 1, 2:
		return l.create(r, n)
	case 3, 4:
		l.a.Delete(objectOf(n))
		return nil, 0, nil
	}
	h, ok := l.a.Get(objectOf(n))
	if !ok {
		return nil, 0, nil
	}
	return h, n, check(h.Bytes(), n)
}

func (l *life) create(r *rand.Rand, n int) (*arena.Hold, int, error) {
	size := 1 + r.Int64N(smallBytes)
	if r.IntN(4) == 0 {
		size = 1 + r.Int64N(largeBytes)
	}
	w, err := l.a.Create(objectOf(n), size, killJob, uint32(n))
	if errors.Is(err, arena.ErrExists) || errors.Is(err, arena.ErrFull) {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, err
	}
	fill(w.Bytes(), n)
	if r.IntN(10) == 0 {
		w.Abort()
		return nil, 0, nil
	}
	h, err := w.Seal(r.IntN(2) == 0)
	return h, n, err
}

// wait blocks for an object.
func (l *life) wait(r *rand.Rand) (*arena.Hold, int, error) {
	l.mu.Lock()
	ctx := l.waiting
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, getWithin)
	defer cancel()
	n := r.IntN(objects)
	h, err := l.a.Wait(ctx, objectOf(n))
	if ctx.Err() != nil && err != nil {
		return nil, 0, nil
	} else if err != nil {
		return nil, 0, err
	}
	return h, n, check(h.Bytes(), n)
}
