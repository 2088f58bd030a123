package node

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
	"github.com/kadrehq/kadre/objstore"
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
	var page ObjectPage
	look("objects", &page)
	objects := page.Objects
	if len(objects) != 2 || objects[0].State != "SEALED" || objects[0].Job != job.String() || objects[0].Attempt != 3 ||
		len(objects[0].Holders) != 1 || objects[0].Holders[0] != os.Getpid() || len(objects[1].Holders) != 0 {
		t.Errorf("objects %+v", objects)
	}
	var found Fsck
	look("fsck", &found)
	if found.Objects != 2 || len(found.Problems) != 0 || found.Backing == "" {
		t.Errorf("fsck %+v", found)
	}
}

// TestObjectsAreListedInPages lists objects in memory and in files, two at a time.
func TestObjectsAreListedInPages(t *testing.T) {
	n := startNode(t, private(testDir(t)))
	job := id.NewJob()
	defer n.store.FreeJob(job)
	put := func(i byte) {
		t.Helper()
		w, err := n.arena.Create(id.Object{i}, 1000*int64(i), job, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Seal(false); err != nil {
			t.Fatal(err)
		}
	}
	list := func(most int) map[string]string {
		t.Helper()
		all := map[string]string{}
		for cursor := ""; ; {
			p, err := n.objects(cursor, most)
			if err != nil || len(p.Objects) > most {
				t.Fatal(len(p.Objects), err)
			}
			if want := (ObjectTotal{Objects: 8, Bytes: 51_000, Spilled: 5}); cursor == "" && p.Total != want {
				t.Errorf("in all %+v, not %+v", p.Total, want)
			}
			for _, o := range p.Objects {
				if all[o.ID] != "" {
					t.Errorf("%s is listed twice", o.ID)
				}
				all[o.ID] = o.State
			}
			if cursor = p.Next; cursor == "" {
				return all
			}
		}
	}
	for i := range byte(5) {
		put(i + 1)
	}
	if err := n.store.Room(t.Context(), objstore.Need{Size: n.arena.Size()}); err != nil { // all into files
		t.Fatal(err)
	}
	for i := range byte(3) {
		put(i + 11)
	}
	for _, most := range []int{1, 2, 3, 100} {
		all := list(most)
		if len(all) != 8 || all[id.Object{3}.String()] != stateSpilled || all[id.Object{13}.String()] != "SEALED" {
			t.Errorf("%d at a time: %v", most, all)
		}
	}
	for _, bad := range []string{"x", ":m", ":mx", ":m-1", ":fzz", ":f00"} {
		if _, err := n.objects(bad, 10); err == nil {
			t.Errorf("%q is a cursor", bad)
		}
	}
}
