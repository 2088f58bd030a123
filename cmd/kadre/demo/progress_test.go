package demo

import (
	"testing"

	"github.com/kadrehq/kadre/api"
)

func TestProgress(t *testing.T) {
	p, err := newProgress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tell := func(stage string, i int, node api.NodeID, done bool) {
		t.Helper()
		if err := p.Tell(t.Context(), Note{Stage: stage, Index: i, Node: node, Done: done, Size: 1000}); err != nil {
			t.Fatal(err)
		}
	}
	tell(stageRead, 0, "a", false)
	tell(stageRead, 0, "a", true)
	tell(stageCount, 0, "b", false)
	tell(stageCount, 0, "c", false) // again, elsewhere
	tell(stageCount, 0, "c", true)
	tell(stageCount, 1, "c", false)
	r, err := p.Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Again != 1 || len(r.Running) != 1 || r.finished(stageCount, "c") != 1 || r.finished(stageCount, "b") != 0 || r.finished(stageRead, "") != 1 {
		t.Errorf("report is %+v", r)
	}
	if r.running("c") != 1 || r.running("b") != 0 {
		t.Errorf("c runs %d map tasks and b %d, want 1 and 0", r.running("c"), r.running("b"))
	}
}
