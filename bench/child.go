package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/testnet"
)

// roleEnv says in a process that a row starts what it is to be there.
const roleEnv = "KADRE_BENCH_ROLE"

// childGrace is how long a process may take to end after its input has.
const childGrace = 10 * time.Second

// RunChild does the work of a process that a row started, and exits; it returns at once in any other. A main
// that offers the benchmarks calls it before anything else.
func RunChild() {
	role := os.Getenv(roleEnv)
	if role == "" {
		return
	}
	os.Unsetenv(roleEnv) // it is not for the processes of this one
	roles := map[string]func() error{"first": firstTask, "store": storeChild, "node": nodeChild, "net": netChild, "awake": awakeChild}
	err := fmt.Errorf("bench: no process has the role %q", role)
	if f := roles[role]; f != nil {
		err = f()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child is such a process, seen by the row: it is sent orders and answers each, and ends when its input does.
type child struct {
	cmd    *exec.Cmd
	in     io.Closer
	orders *json.Encoder
	said   *json.Decoder
	errs   strings.Builder
}

// spawn starts this executable in a role.
func spawn(role string, files ...*os.File) (*child, error) { return spawnWith(role, nil, files...) }

func spawnWith(role string, env []string, files ...*os.File) (*child, error) {
	return spawnIn(nil, role, env, files...)
}

// spawnIn starts it in a network namespace, or with nil in this one.
func spawnIn(ns *testnet.Namespace, role string, env []string, files ...*os.File) (*child, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &child{cmd: ns.Command(exe)}
	c.cmd.Env = append(append(os.Environ(), env...), roleEnv+"="+role)
	c.cmd.ExtraFiles = files
	c.cmd.Stderr = &c.errs
	in, err := c.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.in, c.orders, c.said = in, json.NewEncoder(in), json.NewDecoder(out)
	return c, nil
}

// hear reads an answer. When ctx ends the process is killed.
func (c *child) hear(ctx context.Context, answer any) error {
	stop := context.AfterFunc(ctx, func() { c.cmd.Process.Kill() })
	defer stop()
	if err := c.said.Decode(answer); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("a process of the row does not answer: %w", err))
	}
	return nil
}

// ask sends an order and reads the answer.
func (c *child) ask(ctx context.Context, order, answer any) error {
	if err := c.orders.Encode(order); err != nil {
		return fmt.Errorf("a process of the row takes no orders: %w", err)
	}
	return c.hear(ctx, answer)
}

// close ends the process.
func (c *child) close() error {
	c.in.Close()
	late := time.AfterFunc(childGrace, func() { c.cmd.Process.Kill() })
	defer late.Stop()
	if err := c.cmd.Wait(); err != nil {
		return fmt.Errorf("a process of the row: %w: %s", err, strings.TrimSpace(c.errs.String()))
	}
	return nil
}

// serveOrders answers the orders of the row until there are no more. Should the row end in the middle of one,
// so does the process.
func serveOrders[O, A any](do func(o O) (A, error)) error {
	orders, broken := make(chan O), make(chan error, 1)
	go func() {
		defer close(orders)
		for in := json.NewDecoder(os.Stdin); ; {
			var o O
			if err := in.Decode(&o); err != nil {
				if err != io.EOF {
					broken <- fmt.Errorf("bench: reading an order: %w", err)
				}
				time.AfterFunc(childGrace, func() { os.Exit(1) })
				return
			}
			orders <- o
		}
	}()
	out := json.NewEncoder(os.Stdout)
	for o := range orders {
		a, err := do(o)
		if err != nil {
			return err
		}
		if err := out.Encode(a); err != nil {
			return fmt.Errorf("bench: answering: %w", err)
		}
	}
	select {
	case err := <-broken:
		return err
	default:
		return nil
	}
}
