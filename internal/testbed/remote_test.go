package testbed_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/kadrehq/kadre/api"
)

// Where says which task ran, and where.
type Where struct {
	Node, Task   string
	PID, Attempt int
	Count        int // of an actor: its calls
}

func here(ctx context.Context) (Where, error) {
	i, ok := api.FromContext(ctx)
	if !ok {
		return Where{}, errors.New("FromContext says that this is no task")
	}
	if i.PID != os.Getpid() {
		return Where{}, fmt.Errorf("FromContext says process %d in process %d", i.PID, os.Getpid())
	}
	return Where{Node: string(i.Node), Task: string(i.Task), PID: i.PID, Attempt: i.Attempt}, nil
}

// whereAfter takes some time, which is the task's work.
func whereAfter(ctx context.Context, d time.Duration) (Where, error) {
	time.Sleep(d)
	return here(ctx)
}

// hold blocks until its context ends.
func hold(ctx context.Context) (Where, error) {
	<-ctx.Done()
	return Where{}, ctx.Err()
}

// Spot is an actor that says where it is.
type Spot struct{ calls int }

func newSpot(context.Context) (*Spot, error) { return &Spot{}, nil }

func (s *Spot) Where(ctx context.Context) (Where, error) {
	w, err := here(ctx)
	s.calls++
	w.Count = s.calls
	return w, err
}

// Spawn starts a child process that would run for long.
func (s *Spot) Spawn(context.Context) (int, error) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	return cmd.Process.Pid, nil
}

// block fills n bytes that depend on seed.
func block(_ context.Context, n, seed int) ([]byte, error) { return pattern(n, seed), nil }

func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8 + seed)
	}
	return b
}

func digest(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// digestOf reads an array in another process.
func digestOf(_ context.Context, a api.Array[byte]) (string, error) { return digest(a.Data()), nil }

// arrayOf makes an array in another process.
func arrayOf(ctx context.Context, n, seed int) (api.Array[byte], error) {
	return api.ArrayOf(ctx, pattern(n, seed))
}

// Surroundings are what a process finds around itself.
type Surroundings struct {
	Where
	Stdin string
	Env   []string
	Dir   string
	Exe   string // where it lies
	Args  []string
}

// lookAround tells of its process, and prints a line on each output.
func lookAround(ctx context.Context, said string) (s Surroundings, err error) {
	if s.Where, err = here(ctx); err != nil {
		return s, err
	}
	in, err := io.ReadAll(os.Stdin)
	if err != nil {
		return s, err
	}
	s.Stdin, s.Env, s.Args = string(in), os.Environ(), os.Args
	if s.Dir, err = os.Getwd(); err != nil {
		return s, err
	}
	if s.Exe, err = filepath.EvalSymlinks("/proc/self/exe"); err != nil {
		return s, err
	}
	fmt.Fprintln(os.Stdout, said, "on standard output")
	fmt.Fprintln(os.Stderr, said, "on standard error")
	return s, nil
}

// leave ends its process.
func leave(context.Context, int) (int, error) {
	os.Exit(7)
	return 0, nil
}

var (
	WhereAfter = api.Func1(whereAfter)
	Hold       = api.Func0(hold)
	NewSpot    = api.Class0(newSpot)
	WhereIs    = api.Method0((*Spot).Where)
	Spawn      = api.Method0((*Spot).Spawn)
	Block      = api.Func2(block)
	DigestOf   = api.Func1(digestOf)
	ArrayOf    = api.Func2(arrayOf)
	LookAround = api.Func1(lookAround)
	Leave      = api.Func1(leave)
)
