package node

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

func TestMemoryTellsWhoHoldsWhat(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	f := driver(t, n, wire.Hello{}, nil) // holds nothing
	defer f.leave(true)
	job := id.NewJob()
	for i, size := range []int64{100, 70_000} {
		w, err := n.arena.Create(id.Object{byte(i + 1)}, size, job, 3)
		if err != nil {
			t.Fatal(err)
		}
		h, err := w.Seal(i == 0) // the node holds the first one
		if err != nil {
			t.Fatal(err)
		}
		if h != nil {
			defer n.arena.DeleteJob(job)
			defer h.Release()
		}
	}
	look := func(what string, v any) {
		b, err := Query(context.Background(), n.Socket(), what)
		if err == nil {
			err = json.Unmarshal(b, v)
		}
		if err != nil {
			t.Fatalf("%s: %s, %v", what, b, err)
		}
	}
	var m Memory
	look("memory", &m)
	if len(m.Holders) != 2 || m.Holders[0].Kind != "node" || m.Holders[0].Objects != 1 || m.Holders[0].Bytes != 100 ||
		m.Holders[1].Kind != "driver" || m.Holders[1].Objects != 0 || m.Idle.Objects != 1 || m.Idle.Bytes != 70_000 {
		t.Errorf("holders %+v, idle %+v", m.Holders, m.Idle)
	}
	if text := m.String(); !strings.Contains(text, "held by none") || !strings.Contains(text, "2 objects of") {
		t.Errorf("text:\n%s", text)
	}
	var objects []ObjectStatus
	look("objects", &objects)
	if len(objects) != 2 || objects[0].State != "SEALED" || objects[0].Job != job.String() || objects[0].Attempt != 3 ||
		len(objects[0].Holders) != 1 || objects[0].Holders[0] != os.Getpid() || len(objects[1].Holders) != 0 {
		t.Errorf("objects %+v", objects)
	}
	var text strings.Builder
	if err := WriteObjects(&text, objects); err != nil || !strings.Contains(text.String(), "sealed") {
		t.Errorf("%v:\n%s", err, text.String())
	}
	var found Fsck
	look("fsck", &found)
	if found.Objects != 2 || len(found.Problems) != 0 || found.Backing == "" {
		t.Errorf("fsck %+v", found)
	}
}
