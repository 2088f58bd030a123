package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/bench"
	"github.com/kadrehq/kadre/chaos"
)

// Exit statuses.
const (
	exitOK = iota
	exitFailed
	exitUsage
)

func main() {
	bench.RunChild() // in the processes that a benchmark starts
	chaos.RunChild() // and a plan of kadre chaos
	api.RunWorker()  // in the processes that a node starts for kadre demo and kadre bench
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command line. It gives the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	ctx := context.Background()
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "kadre: %s\n", strings.TrimPrefix(err.Error(), "kadre: "))
	if u := (usageError{}); errors.As(err, &u) {
		fmt.Fprintf(stderr, "Run '%s --help' for how it is used.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitFailed
}

// usageError is what the caller can mend on the command line.
type usageError struct{ err error }

func (u usageError) Error() string { return u.err.Error() }
func (u usageError) Unwrap() error { return u.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "kadre",
		Short: "Run Go functions and actors on a group of machines of which none is the head",
		Long: `Kadre runs Go functions and actors on a group of machines of which none is the head.

Programs use it through the package github.com/kadrehq/kadre/api and need no
command: where no node runs they start one inside themselves. This command runs
nodes that many programs share, and shows what they do.

  kadre demo       see it work: three nodes, the walkthrough, a word count
  kadre start      run a node
  kadre status     what the node does`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          group,
		Args:          cobra.ArbitraryArgs, // group tells what is wrong with them
	}
	root.SetVersionTemplate("kadre {{.Version}}\n")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newStart(), newStatus(), newList(), newTimeline(), newLogs(), newMemory(), newDrain(), newToken(), newDemo(), newBench(), newChaos(), newDoctor())
	return root
}

// group runs a command that has only sub-commands.
func group(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("%q is no command of '%s'", args[0], cmd.CommandPath())
	}
	if !cmd.HasParent() {
		return cmd.Help()
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	return usagef("'%s' needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
}

// noArgs is for commands that take flags only.
func noArgs(cmd *cobra.Command, given []string) error {
	if len(given) > 0 {
		return usagef("'%s' takes no argument, and got %q", cmd.CommandPath(), given[0])
	}
	return nil
}

// interruptible gives a context that ends at the first SIGINT or SIGTERM. Later ones are ignored until the
// function it returns is called: what a command made is removed also by those who are impatient.
func interruptible(ctx context.Context) (context.Context, func()) {
	return signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
}

func version() string {
	v, revision := "devel", ""
	if info, ok := debug.ReadBuildInfo(); ok {
		if m := info.Main.Version; m != "" && m != "(devel)" {
			v = m
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				revision = " (" + s.Value + ")"
			}
		}
		return v + revision + " " + info.GoVersion
	}
	return v
}
