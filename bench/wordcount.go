package bench

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/words"
)

var (
	countWords = api.Func1(countGroup)
	addTables  = api.Func2(mergeTables)
)

// countGroup is the map task.
func countGroup(_ context.Context, text []byte) (words.Table, error) {
	counts := map[string]int{}
	words.Count(counts, text)
	return words.TableOf(counts), nil
}

// mergeTables is an inner node of the tree.
func mergeTables(_ context.Context, a, b words.Table) (words.Table, error) { return words.Merge(a, b) }

// wordcount has the count of kadre demo on one node.
func wordcount() Scenario {
	cpus := runtime.GOMAXPROCS(0)
	return Scenario{
		Bench: "wordcount", Name: "wordcount", Unit: milliseconds, Better: Lower, N: 1, Samples: MinSamples,
		Work: fmt.Sprintf("the word count of kadre demo over the sources of the installed Go toolchain, on one node with %d CPUs: a map "+
			"task for each group of files, whose contents are objects already, and a tree of merges; until its last table is here", cpus),
		RefName: "a loop that calls the same counting function for all groups, in memory already, into one map",
		Setup:   embedded(setupWords),
	}
}

func setupWords(ctx context.Context) (*Run, error) {
	dir, err := words.GoSources(ctx)
	if err != nil {
		return nil, err
	}
	c, err := words.Find(ctx, dir)
	if err != nil {
		return nil, err
	}
	return countSides(ctx, c)
}

// countSides are the two ways to count a corpus. The reference compares all counts with those of the run before it.
func countSides(ctx context.Context, c *words.Corpus) (*Run, error) {
	texts := make([][]byte, len(c.Groups))
	refs := make([]api.Ref[[]byte], len(c.Groups))
	for i, g := range c.Groups {
		var err error
		if texts[i], err = words.ReadGroup(g.Paths); err != nil {
			return nil, err
		}
		if refs[i], err = api.Put(ctx, texts[i]); err != nil {
			return nil, err
		}
	}
	var table words.Table
	run := &Run{Extra: map[string]any{"files": c.Files, "bytes": c.Bytes, "groups": len(c.Groups)}}
	run.Ours = func(ctx context.Context, _ int) (_ float64, err error) {
		begin := time.Now()
		table, err = api.Reduce(ctx, countWords.MapRefs(ctx, refs), addTables).Get(ctx)
		return perOp(time.Since(begin), 1, milliseconds), err
	}
	run.Ref = func(context.Context, int) (float64, error) {
		begin := time.Now()
		counts := map[string]int{}
		for _, text := range texts {
			words.Count(counts, text)
		}
		took := time.Since(begin)
		run.Extra["words"] = len(counts)
		diff, err := words.Differences(table, counts, 3)
		if err == nil && len(diff) > 0 {
			err = fmt.Errorf("the counts differ: %s", strings.Join(diff, "; "))
		}
		return perOp(took, 1, milliseconds), err
	}
	return run, nil
}
