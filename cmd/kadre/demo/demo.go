package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/cmd/kadre/ask"
	"github.com/kadrehq/kadre/internal/words"
)

// Nodes is how many nodes the demo starts.
const Nodes = 3

// Options say what to show and where.
type Options struct {
	Corpus   string    // folder of Go files; default: the sources of the installed Go toolchain
	Out      io.Writer // where the show is printed
	Terminal bool      // whether Out is a terminal, on which a line can be drawn again
	Timeline string    // file for what ran where and when; default: none
}

// Run shows everything and checks it. It returns an error that tells the difference where something is
// not as it must be. The nodes and their folders are gone when it returns.
func Run(ctx context.Context, o Options) (err error) {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("demo: finding the own executable: %w", err)
	}
	if o.Corpus == "" {
		if o.Corpus, err = words.GoSources(ctx); err != nil {
			return err
		}
	}
	text, err := words.Find(ctx, o.Corpus)
	if err != nil {
		return err
	}

	s := &screen{w: o.Out, terminal: o.Terminal}
	s.title("Kadre: %d nodes on this machine, none of them the head", Nodes)
	begin := time.Now()
	c, err := startCluster(ctx, exe, Nodes, flags(text))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	s.nodes(c, time.Since(begin))

	var recording *ask.Recording
	if o.Timeline != "" {
		if recording, err = ask.StartRecording(ctx, c.nodes[0].Socket, time.Hour); err != nil {
			return err
		}
	}
	if err := attached(ctx, c, s, text); err != nil {
		return err
	}
	s.title("The driver has left")
	if err := c.awaitEmpty(ctx); err != nil {
		return err
	}
	if recording != nil { // the workers have left what they recorded
		marks, processes, err := recording.Write(ctx, o.Timeline, o.Out)
		if err != nil {
			return err
		}
		s.line("%s: %d marks of %d processes; open it at https://ui.perfetto.dev", o.Timeline, marks, processes)
	}
	for _, m := range c.living() {
		s.line("%s  store is empty: no object, no holder, no block", m.Name)
	}
	s.title("All is as it must be.")
	return nil
}

// attached is what the demo does as a driver.
func attached(ctx context.Context, c *cluster, s *screen, text *words.Corpus) (err error) {
	if err := os.Setenv("KADRE_SOCKET", c.nodes[0].Socket); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	begin := time.Now()
	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rt.Close()) }()
	ctx = rt.With(ctx)
	if err := walkthrough(ctx, c, s, begin); err != nil {
		return err
	}

	j := &job{cluster: c, screen: s, text: text}
	s.title("Word count: %d files, %s, in %d groups", text.Files, mebibytes(text.Bytes), len(text.Groups))
	first, err := j.run(ctx, false)
	if err != nil {
		return err
	}
	s.title("The same words counted one file after the other, by the same function")
	begin = time.Now()
	counts, err := words.CountAll(ctx, text)
	if err != nil {
		return err
	}
	if err := check(first.table, counts); err != nil {
		return err
	}
	s.line("%d different words in %s; all counts agree", len(counts), brief(time.Since(begin)))
	if err := s.top(first.table); err != nil {
		return err
	}

	s.title("Word count again, and a node is killed")
	second, err := j.runAndKill(ctx)
	if err != nil {
		return err
	}
	s.line("re-executed %d", second.report.Again)
	if second.report.Again == 0 {
		return errors.New("demo: re-executed 0: a node died with work on it, and nothing was made again")
	}
	if err := check(second.table, counts); err != nil {
		return err
	}
	s.line("all counts agree")
	return nil
}

// flags are those that every node is started with.
func flags(text *words.Corpus) []string {
	cpus := max(1, runtime.NumCPU()/Nodes)
	store := 256<<20 + 3*text.Bytes // the texts, their tables and those of the tree
	return []string{"--cluster", "demo", "--cpus", strconv.Itoa(cpus), "--object-store-memory", strconv.FormatInt(store, 10)}
}

// check compares the cluster's counts with the sequential ones.
func check(t words.Table, counts map[string]int) error {
	const shown = 10
	d, err := words.Differences(t, counts, shown)
	if err != nil {
		return err
	}
	if len(d) == 0 {
		return nil
	}
	return fmt.Errorf("demo: the counts differ: %s", strings.Join(d, "; "))
}
