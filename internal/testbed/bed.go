package testbed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// markName is the variable that every process of a Bed carries. Nodes hand KADRE_ variables to their workers.
const markName = "KADRE_TESTBED_MARK"

// secretName is the file in the runtime folder that stays: the user's secret.
const secretName = "secret"

// Bed is where the processes of one test live.
type Bed struct {
	Dir     string // everything is below it
	Runtime string // XDG_RUNTIME_DIR of processes that get no other
	State   string // XDG_STATE_HOME likewise

	t         testing.TB // the test that runs
	mark      string
	processes []*Process
	runtimes  []string // all runtime folders in use
	states    []string // all state folders in use
	count     int
}

// New makes a Bed. The test's cleanup ends all that was started in it, checks that nothing is left, and
// removes it.
func New(t testing.TB) *Bed {
	t.Helper()
	dir := must[string](t, "folder for the test")(os.MkdirTemp("", "k"))
	var nonce [8]byte
	rand.Read(nonce[:])
	b := &Bed{Dir: dir, t: t, mark: hex.EncodeToString(nonce[:])}
	b.Runtime, b.State = b.Folder("r"), b.Folder("s")
	t.Cleanup(b.close)
	return b
}

// Sub runs a subtest in the Bed. What it starts goes with the Bed; what fails meanwhile fails the subtest.
func (b *Bed) Sub(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(sub *testing.T) {
		b.t = sub
		defer func() { b.t = t }()
		f(sub)
	})
}

// Folder makes a folder of the Bed that only its user can enter.
func (b *Bed) Folder(name string) string {
	b.t.Helper()
	d := filepath.Join(b.Dir, name)
	if err := os.MkdirAll(d, 0o700); err != nil {
		b.t.Fatal(err)
	}
	return d
}

// File writes a file of the Bed and gives its path.
func (b *Bed) File(name, content string, mode fs.FileMode) string {
	b.t.Helper()
	path := filepath.Join(b.Dir, name)
	err := os.WriteFile(path, []byte(content), mode)
	if err == nil {
		err = os.Chmod(path, mode) // whatever the umask
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return path
}

// Token makes a file with a new cluster token.
func (b *Bed) Token(name string) string {
	b.t.Helper()
	out, err := exec.Command(Kadre(b.t), "token", "new").Output()
	if err != nil {
		b.t.Fatalf("kadre token new: %v", err)
	}
	return b.File(name, string(out), 0o600)
}

// Place is where a process runs. The zero value is the Bed's own folders and the machine's network.
type Place struct {
	NS      *Namespace
	Runtime string   // XDG_RUNTIME_DIR
	State   string   // XDG_STATE_HOME
	Env     []string // further variables
}

// environment is what processes get: none of the caller's settings, no folder of the user. A node that ends with
// something in its store fails.
func (b *Bed) environment(at Place) []string {
	if at.Runtime == "" {
		at.Runtime = b.Runtime
	}
	if at.State == "" {
		at.State = b.State
	}
	b.uses(at.Runtime, at.State)
	env := []string{"KADRE_CHECK=empty", markName + "=" + b.mark, "XDG_RUNTIME_DIR=" + at.Runtime, "XDG_STATE_HOME=" + at.State,
		"HOME=" + b.Dir, "PATH=" + os.Getenv("PATH")}
	for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPATH", "GOFLAGS", "GOPROXY", "GORACE", "TZ", "LANG"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return append(env, at.Env...)
}

// uses remembers folders that the cleanup looks into.
func (b *Bed) uses(runtime, state string) {
	if !slices.Contains(b.runtimes, runtime) {
		b.runtimes = append(b.runtimes, runtime)
	}
	if !slices.Contains(b.states, state) {
		b.states = append(b.states, state)
	}
}

// Run starts a program.
func (b *Bed) Run(name string, at Place, argv ...string) *Process {
	b.t.Helper()
	cmd := at.NS.Command(argv...)
	cmd.Env = b.environment(at)
	cmd.Dir = b.Dir
	p := must[*Process](b.t, "starting "+name)(b.launch(name, cmd))
	b.processes = append(b.processes, p)
	return p
}

// Kadre runs the command kadre to its end.
func (b *Bed) Kadre(at Place, args ...string) *Process {
	b.t.Helper()
	p := b.Run("kadre "+strings.Join(args, " "), at, append([]string{Kadre(b.t)}, args...)...)
	p.Wait(endWithin)
	return p
}

// Code is the exit status of a process that has ended.
func (p *Process) Code() int { return p.cmd.ProcessState.ExitCode() }

// close ends everything and checks that nothing is left.
func (b *Bed) close() {
	for _, p := range b.processes {
		p.kill()
	}
	for _, p := range b.processes {
		<-p.done
	}
	b.AwaitGone()
	for _, left := range b.swept() {
		b.t.Errorf("left behind after a sweep: %s", left)
	}
	if b.t.Failed() {
		for _, p := range b.processes {
			b.t.Logf("%s (pid %d, %v) wrote to standard error:\n%s", p.Name, p.PID, p.cmd.ProcessState, tail(p.Stderr()))
		}
	}
	if err := os.RemoveAll(b.Dir); err != nil {
		b.t.Errorf("removing the test's folder: %v", err)
	}
}

// AwaitGone waits until no process of the Bed is left but the ones that are named.
func (b *Bed) AwaitGone(but ...int) {
	b.t.Helper()
	var left []int
	gone := func() bool {
		left = slices.DeleteFunc(b.Alive(), func(pid int) bool { return slices.Contains(but, pid) })
		return len(left) == 0
	}
	if await(goneWithin, gone) {
		return
	}
	for _, pid := range left {
		b.t.Errorf("process %d is left behind after %v: %s", pid, goneWithin, commandLine(pid))
		killProcess(pid)
	}
	if !await(goneWithin, gone) {
		b.t.Errorf("processes %v cannot be killed", left)
	}
}

// Processes are those that were started so far.
func (b *Bed) Processes() []*Process { return slices.Clone(b.processes) }

// Alive lists the processes of the Bed.
func (b *Bed) Alive() []int { return marked(markName + "=" + b.mark) }

// Sweep has the command kadre look into all runtime folders, as the next user would, and gives what is
// left that belongs to nobody.
func (b *Bed) swept() (left []string) {
	for _, runtime := range b.runtimes {
		clusters, _ := os.ReadDir(filepath.Join(runtime, "kadre")) // there may be none
		for _, c := range clusters {
			if c.IsDir() {
				b.look(runtime, c.Name())
			}
		}
		left = append(left, files(runtime, func(path string) bool { return filepath.Base(path) != secretName })...)
	}
	for _, state := range b.states {
		left = append(left, files(state, func(path string) bool {
			return strings.HasSuffix(path, ".tmp") || strings.HasSuffix(path, ".sock") || strings.Contains(path, "/scratch/")
		})...)
	}
	return left
}

// look runs a command that looks for a node, which sweeps.
func (b *Bed) look(runtime, cluster string) {
	ctx, cancel := context.WithTimeout(context.Background(), endWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, Kadre(b.t), "status", "--cluster", cluster)
	cmd.Env = b.environment(Place{Runtime: runtime})
	if out, err := cmd.CombinedOutput(); err == nil {
		b.t.Errorf("a node of cluster %s still answers in %s:\n%s", cluster, runtime, out)
	}
}

// files lists what is in a folder that is of interest, links and sockets too.
func files(dir string, of func(path string) bool) (paths []string) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // a node that did not come up has made none
		case err != nil:
			paths = append(paths, fmt.Sprintf("%s (%v)", path, err))
		case !d.IsDir() && of(path):
			paths = append(paths, path)
		}
		return nil
	})
	return paths
}
