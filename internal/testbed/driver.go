package testbed

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/kadrehq/kadre/api"
)

const driverName = "KADRE_TESTBED_DRIVER"

// Stage is a driver's side of its talk with the test.
type Stage struct {
	in  *json.Decoder
	out *json.Encoder
}

// Say prints a line of JSON for the test.
func (s *Stage) Say(v any) error { return s.out.Encode(v) }

// Hear waits for the test's next line of JSON.
func (s *Stage) Hear(v any) error { return s.in.Decode(v) }

// Main makes the test binary what it was started as: it never returns in worker processes and drivers, and at
// once in the test itself. It belongs at the start of TestMain.
func Main(drivers map[string]func(*Stage) error) {
	api.RunWorker()
	name, ok := os.LookupEnv(driverName)
	if !ok {
		return
	}
	run := drivers[name]
	if run == nil {
		fmt.Fprintf(os.Stderr, "testbed: no driver %q\n", name)
		os.Exit(2)
	}
	if err := run(&Stage{json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// Driver starts a driver: the test binary, running the named function. prefix, where there is one, is a
// program with its arguments that runs it.
func (b *Bed) Driver(name string, at Place, prefix ...string) *Process {
	b.t.Helper()
	return b.driverOf(must[string](b.t, "own executable")(os.Executable()), name, at, prefix...)
}

func (b *Bed) driverOf(exe, name string, at Place, prefix ...string) *Process {
	b.t.Helper()
	at.Env = append([]string{driverName + "=" + name}, at.Env...)
	return b.Run("driver "+name, at, append(prefix, exe)...)
}

// Driver starts a driver that attaches to the node.
func (n *Node) Driver(name string, env ...string) *Process {
	n.bed.t.Helper()
	return n.bed.Driver(name, n.at("KADRE_SOCKET="+n.Socket, env...))
}

// DriverOf is Driver with a copy of the test binary that is another program to the node.
func (n *Node) DriverOf(exe, name string, env ...string) *Process {
	n.bed.t.Helper()
	return n.bed.driverOf(exe, name, n.at("KADRE_SOCKET="+n.Socket, env...))
}
