package testbed_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/testbed"
)

// refusedWithin bounds a node's start that must fail, or a driver's.
const refusedWithin = time.Minute

func TestBadFlags(t *testing.T) {
	testbed.NotAgain(t)
	bed := testbed.New(t)
	for _, c := range []struct{ args, says string }{
		{"start --no-such-flag", "--no-such-flag"},
		{"start --cpus many", "--cpus"},
		{"start --cpus -1", "--cpus"},
		{"start --object-store-memory lots", "--object-store-memory"},
		{"start --resources gpu", "--resources"},
		{"start extra", "extra"},
		{"status --no-such-flag", "--no-such-flag"},
		{"list cows", "cows"},
		{"token old", "old"},
		{"no-such-command", "no-such-command"},
		{"bench no-such-row", "no-such-row"},
		{"--no-such-flag", "--no-such-flag"},
	} {
		p := bed.Kadre(testbed.Place{}, strings.Fields(c.args)...)
		if p.Code() != 2 || !testbed.Says(p.Stderr(), "kadre: ", c.says, "--help") || p.Stdout() != "" {
			t.Errorf("kadre %s: status %d, standard output %q, standard error:\n%s", c.args, p.Code(), p.Stdout(), p.Stderr())
		}
	}
}

// TestBadStarts starts nodes that cannot serve: each gives one error that says what to do, and leaves nothing.
func TestBadStarts(t *testing.T) {
	testbed.NotAgain(t)
	bed := testbed.New(t)
	token := strings.TrimSpace(readFile(t, bed.Token("token")))
	silent := listen(t)
	free := listen(t)
	nobody := free.Addr().String()
	free.Close()
	red := bed.StartNode(testbed.NodeConfig{Args: []string{"--cluster", "red"}})
	missing := filepath.Join(bed.Dir, "missing")
	deep := filepath.Join(bed.Dir, strings.Repeat("d", 120))

	for _, c := range []struct {
		name string
		args []string
		says []string
		slow bool
	}{
		{name: "join nobody", args: []string{"--join", nobody}, says: []string{nobody, "nothing listens", "running"}, slow: true},
		{name: "join somebody who is silent", args: []string{"--join", silent.Addr().String()}, says: []string{silent.Addr().String(), "handshake", "is it a node"}, slow: true},
		{name: "join nonsense", args: []string{"--join", "not an address"}, says: []string{"not an address", "host:port"}},
		{name: "join another cluster", args: []string{"--cluster", "blue", "--join", red.Addrs[0]}, says: []string{`"blue"`, `"red"`, "--cluster"}},
		{name: "token file missing", args: []string{"--token-file", missing}, says: []string{missing, "kadre token new"}},
		{name: "token too short", args: []string{"--token-file", bed.File("short", token[:20]+"\n", 0o600)}, says: []string{bed.Dir + "/short", "kadre token new"}},
		{name: "token mistyped", args: []string{"--token-file", bed.File("typo", mistyped(token)+"\n", 0o600)}, says: []string{bed.Dir + "/typo", "copy it again"}},
		{name: "token readable by others", args: []string{"--token-file", bed.File("open", token+"\n", 0o644)}, says: []string{bed.Dir + "/open", "0644", "chmod 600"}},
		{name: "token file empty", args: []string{"--token-file", bed.File("empty", "", 0o600)}, says: []string{bed.Dir + "/empty", "kadre token new"}},
		{name: "port in use", args: []string{"--listen", silent.Addr().String()}, says: []string{silent.Addr().String(), "in use", "port 0"}},
		{name: "listening for strangers without a token", args: []string{"--listen", "0.0.0.0:0"}, says: []string{"0.0.0.0:0", "--token-file"}},
		{name: "too small a store", args: []string{"--object-store-memory", "4KiB"}, says: []string{"store", "at least"}},
		{name: "too large a store", args: []string{"--object-store-memory", "100TiB"}, says: []string{"store", "--object-store-memory"}},
		{name: "state folder in use", args: []string{"--cluster", "red", "--state-dir", red.StateDir}, says: []string{red.StateDir, "--state-dir"}},
		{name: "socket path too long", args: []string{"--socket", deep}, says: []string{deep, "107"}},
		{name: "socket in use", args: []string{"--socket", red.Socket}, says: []string{red.Socket, "--socket"}},
		{name: "cluster name", args: []string{"--cluster", "../up"}, says: []string{"../up", "letters"}},
	} {
		bed.Sub(t, c.name, func(t *testing.T) {
			if c.slow {
				needTime(t)
			}
			n := bed.Launch(testbed.NodeConfig{Args: c.args})
			checkRefusal(t, n.Refused(refusedWithin), c.says...)
		})
	}
	red.Stop()
	bed.AwaitGone()
}

// checkRefusal checks that a command that failed gave one error, with all of the words.
func checkRefusal(t *testing.T, said string, words ...string) {
	t.Helper()
	errors := 0
	last := ""
	for line := range strings.Lines(said) {
		if strings.HasPrefix(line, "kadre: ") {
			errors++
		}
		last = line
	}
	if errors != 1 || !strings.HasPrefix(last, "kadre: ") || !testbed.Says(last, words...) {
		t.Errorf("want one error with %q, the last line:\n%s", words, said)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mistyped swaps two characters of a token.
func mistyped(token string) string {
	b := []byte(token)
	for i := len(b) / 2; ; i++ {
		if b[i] != b[i+1] {
			b[i], b[i+1] = b[i+1], b[i]
			return string(b)
		}
	}
}

// listen listens on loopback and never answers.
func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func TestDeadNodesSocket(t *testing.T) {
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{})
	n.Kill()
	if _, err := os.Lstat(n.Socket); err != nil {
		t.Fatalf("the killed node's socket is gone: the test proves nothing: %v", err)
	}
	named := testbed.Place{Env: []string{"KADRE_SOCKET=" + n.Socket}}
	status := bed.Kadre(named, "status")
	if status.Code() != 1 {
		t.Errorf("kadre status: status %d", status.Code())
	}
	checkRefusal(t, status.Stderr(), n.Socket, "kadre start")
	d := bed.Driver("start", named)
	if code := d.Wait(refusedWithin); code != 1 || !testbed.Says(d.Stderr(), n.Socket, "KADRE_SOCKET") {
		t.Errorf("the driver ended with status %d:\n%s", code, d.Stderr())
	}
	none := bed.Driver("start", testbed.Place{Env: []string{"KADRE_SOCKET=/tmp/no/such.sock"}})
	if code := none.Wait(refusedWithin); code != 1 || !testbed.Says(none.Stderr(), "/tmp/no/such.sock", "KADRE_SOCKET") {
		t.Errorf("the driver ended with status %d:\n%s", code, none.Stderr())
	}
	found := bed.Driver("start", testbed.Place{}) // none lives, so it starts one in itself
	var w Where
	found.Hear(&w)
	found.Succeed(10 * time.Second)
	if w.PID != found.PID {
		t.Errorf("it ran in process %d, not in the driver %d", w.PID, found.PID)
	}
}

// onlyDriverName is set in drivers, and not in workers, which then lack a function.
const onlyDriverName = "TESTBED_ONLY_DRIVER"

var OnlyDriver *api.RemoteFunc0[int]

func init() {
	if os.Getenv(onlyDriverName) != "" {
		OnlyDriver = api.Func0(func(context.Context) (int, error) { return 1, nil }, api.RegisterAs("known to the driver only"))
	}
	drivers["unknown function"] = attached(func(ctx context.Context, s *testbed.Stage) error {
		_, err := OnlyDriver.Options(api.OwnProcess()).Remote(ctx).Get(ctx)
		return sayError(s, err, new(error))
	})
	drivers["stuck worker"] = attached(stuckWorker, api.WorkerEnv(stuckName))
	drivers["large value"] = attached(largeValue)
	drivers["late registration"] = attached(func(context.Context, *testbed.Stage) error {
		api.Func0(hold, api.RegisterAs("late"))
		return errors.New("a function could be registered after Init")
	})
	drivers["channel"] = func(*testbed.Stage) error {
		type inner struct{ Back chan int }
		type request struct{ Inner inner }
		api.Func1(func(context.Context, request) (int, error) { return 0, nil }, api.RegisterAs("takes a channel"))
		return errors.New("a function that takes a channel could be registered")
	}
	drivers["second node option"] = attached(func(context.Context, *testbed.Stage) error {
		return errors.New("Init took an option of a node that runs already")
	}, api.NumCPUs(3))
}

// sayError says an error that had to come, of the type that target points to.
func sayError[E error](s *testbed.Stage, err error, target *E) error {
	if !errors.As(err, target) {
		return fmt.Errorf("got %T %w", err, err)
	}
	return s.Say(err.Error())
}

func stuckWorker(ctx context.Context, s *testbed.Stage) error {
	_, err := WhereAfter.Options(api.OwnProcess(), api.MaxRetries(0)).Remote(ctx, 0).Get(ctx)
	return sayError(s, err, new(*api.WorkerStartError))
}

// largeValue puts and returns what does not fit the store, and then what does.
func largeValue(ctx context.Context, s *testbed.Stage) error {
	const size = 64 << 20
	_, err := api.Put(ctx, make([]byte, size))
	if err := sayError(s, err, new(*api.OutOfMemoryError)); err != nil {
		return fmt.Errorf("Put: %w", err)
	}
	_, err = api.NewArray[byte](ctx, size)
	if err := sayError(s, err, new(*api.OutOfMemoryError)); err != nil {
		return fmt.Errorf("NewArray: %w", err)
	}
	_, err = Block.Options(api.OwnProcess(), api.MaxRetries(0)).Remote(ctx, size, 0).Get(ctx)
	if err := sayError(s, err, new(*api.OutOfMemoryError)); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	small, err := Block.Options(api.OwnProcess()).Remote(ctx, blockSize, 0).Get(ctx)
	if err == nil && digest(small) != digest(pattern(blockSize, 0)) {
		err = errors.New("a small value came damaged")
	}
	return err
}

// TestBadDrivers runs drivers that do what cannot be: each gets an error that says what to do.
func TestBadDrivers(t *testing.T) {
	bed := testbed.New(t)
	n := bed.StartNode(testbed.NodeConfig{Args: []string{"--cpus", "1", "--object-store-memory", "32MiB"}})
	for _, c := range []struct {
		name, driver string
		env          []string
		errors       int      // that the driver prints
		says         []string // in each of them, else on standard error
		slow         bool
	}{
		{name: "unknown function", driver: "unknown function", env: []string{onlyDriverName + "=1"}, errors: 1,
			says: []string{"known to the driver only", "not registered", "api.Init"}},
		{name: "large value", driver: "large value", errors: 3, says: []string{"store", "67108", "33554432", "--object-store-memory"}},
		{name: "late registration", driver: "late registration", says: []string{"late", "after Init", "bad_test.go:"}},
		{name: "argument that cannot cross", driver: "channel", says: []string{"takes a channel", "Inner.Back", "channel"}},
		{name: "option of a running node", driver: "second node option", says: []string{"NumCPUs", n.Socket}},
		{name: "worker that ends", driver: "stuck worker", env: []string{stuckName + "=exit"}, errors: 1,
			says: []string{"exit status 3", "cannot find my configuration"}},
		{name: "worker that hangs", driver: "stuck worker", env: []string{stuckName + "=wait"}, errors: 1, slow: true,
			says: []string{"10s", "api.RunWorker", "waiting for something that never comes"}},
	} {
		bed.Sub(t, c.name, func(t *testing.T) {
			within := refusedWithin
			if c.slow {
				needTime(t)
				within *= 2
			}
			d := n.Driver(c.driver, c.env...)
			for range c.errors {
				var said string
				d.Hear(&said)
				if !testbed.Says(said, c.says...) {
					t.Errorf("the error does not say %q: %s", c.says, said)
				}
			}
			code := d.Wait(within)
			if c.errors == 0 && (code == 0 || !testbed.Says(d.Stderr(), c.says...)) || c.errors > 0 && code != 0 {
				t.Errorf("the driver ended with status %d; want %q on standard error:\n%s", code, c.says, d.Stderr())
			}
			bed.AwaitGone(n.PID)
		})
	}
	var s testbed.Status
	testbed.Until(t, time.Minute, func() bool { s = n.Status(); return s.Store.Objects == 0 && s.Store.Blocks == 0 }, func() string {
		return fmt.Sprintf("the store still has %+v", s.Store)
	})
	n.Stop()
}
