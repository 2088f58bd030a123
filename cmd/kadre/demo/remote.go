package demo

import (
	"context"
	"fmt"

	"github.com/kadrehq/kadre/api"
	"github.com/kadrehq/kadre/internal/words"
)

// What the word count runs remotely, on whichever node has a CPU to spare.
var (
	Read  = api.Func3(readTask)
	Count = api.Func3(countTask)
	Merge = api.Func4(mergeTask)
)

// readTask makes the contents of a group's files an object in the arena of the node it runs on.
func readTask(ctx context.Context, p api.Actor[Progress], i int, paths []string) ([]byte, error) {
	return noted(ctx, p, task{stageRead, i}, func() ([]byte, int, error) {
		text, err := words.ReadGroup(paths)
		return text, len(text), err
	})
}

// countTask is the map task: it counts the words of one group.
func countTask(ctx context.Context, p api.Actor[Progress], i int, text []byte) (words.Table, error) {
	return noted(ctx, p, task{stageCount, i}, func() (words.Table, int, error) {
		counts := map[string]int{}
		words.Count(counts, text)
		t := words.TableOf(counts)
		return t, len(t), nil
	})
}

// mergeTask is an inner node of the reduce tree.
func mergeTask(ctx context.Context, p api.Actor[Progress], i int, a, b words.Table) (words.Table, error) {
	return noted(ctx, p, task{stageMerge, i}, func() (words.Table, int, error) {
		t, err := words.Merge(a, b)
		return t, len(t), err
	})
}

// noted runs a task's work between two notes to the progress actor. It waits for neither: a task that
// waits gives its CPU to the next one, and one that has started is not stolen any more.
func noted[R any](ctx context.Context, p api.Actor[Progress], t task, work func() (R, int, error)) (r R, err error) {
	info, ok := api.FromContext(ctx)
	if !ok {
		return r, fmt.Errorf("demo: %s %d runs outside a task", t.Stage, t.Index)
	}
	n := Note{Stage: t.Stage, Index: t.Index, Node: info.Node, PID: info.PID, Attempt: info.Attempt}
	Tell.Remote(ctx, p, n)
	r, n.Size, err = work()
	if err != nil {
		return r, err
	}
	n.Done = true
	Tell.Remote(ctx, p, n)
	return r, nil
}
