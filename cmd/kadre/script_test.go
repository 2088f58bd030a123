package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/bench"
	"github.com/kadrehq/kadre/chaos"
	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/invariant"
)

func TestMain(m *testing.M) {
	bench.RunChild()
	chaos.RunChild()
	api.RunWorker()
	os.Setenv("KADRE_CHECK", "empty") // no node ends with something in its store
	testscript.Main(m, map[string]func(){"kadre": main})
}

// serveWithin bounds the wait for a node that a script started.
const serveWithin = time.Minute

func TestScripts(t *testing.T) {
	dir, files := "testdata", []string(nil)
	if invariant.Race { // a command starts in half a second there; what starts nodes and work is what may race
		dir, files = "", []string{"testdata/drain.txtar", "testdata/bench.txtar"}
	}
	testscript.Run(t, testscript.Params{
		Dir:   dir,
		Files: files,
		Setup: func(e *testscript.Env) error {
			// Folders of its own, with a short path for the sockets.
			dir, err := os.MkdirTemp("", "k")
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("XDG_RUNTIME_DIR", dir)
			e.Setenv("XDG_STATE_HOME", filepath.Join(dir, "state"))
			e.Setenv("RUN", dir)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits,
			"serve": serve,
			"empty": empty,
			"term":  term,
			"named": named,
		},
	})
}

// exits runs a command that must end with a status: exits STATUS COMMAND…
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if e := (*exec.ExitError)(nil); errors.As(err, &e) {
		got = e.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("it exits with %d, not %d", got, want)
	}
}

// serve waits until n nodes of the script's runtime folder know each other: serve N [CLUSTER]
func serve(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve N [CLUSTER]")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	cluster := "default"
	if len(args) > 1 {
		cluster = args[1]
	}
	for end := time.Now().Add(serveWithin); ; {
		out := 0
		sockets, err := filepath.Glob(filepath.Join(ts.Getenv("RUN"), "kadre", cluster, "*.sock"))
		ts.Check(err)
		for _, s := range sockets {
			var nodes []nodeRow
			if ask.Into(context.Background(), s, ask.Nodes, &nodes) == nil && len(nodes) == n {
				out++
			}
		}
		if out == n {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%d of %d nodes serve after %v", out, n, serveWithin)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// named puts the ID of the node that has a label name=NAME into the variable NODE: named NAME
func named(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: named NAME")
	}
	sockets, err := filepath.Glob(filepath.Join(ts.Getenv("RUN"), "kadre", "default", "*.sock"))
	ts.Check(err)
	for _, s := range sockets {
		var nodes []nodeRow
		ts.Check(ask.Into(context.Background(), s, ask.Nodes, &nodes))
		for _, n := range nodes {
			if n.Labels["name"] == args[0] {
				ts.Setenv("NODE", string(n.ID))
				return
			}
		}
	}
	ts.Fatalf("no node is named %s", args[0])
}

// empty checks that a cluster's runtime folder has no file left: empty [CLUSTER]
func empty(ts *testscript.TestScript, neg bool, args []string) {
	cluster := "default"
	if len(args) > 0 {
		cluster = args[0]
	}
	left, err := filepath.Glob(filepath.Join(ts.Getenv("RUN"), "kadre", cluster, "*"))
	ts.Check(err)
	if (len(left) == 0) == neg {
		ts.Fatalf("in the runtime folder: %v", left)
	}
}

// term sends SIGTERM to all commands in the background.
func term(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) > 0 {
		ts.Fatalf("usage: term")
	}
	for _, cmd := range ts.BackgroundCmds() {
		ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	}
}
