package id

import (
	"sync"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestObjectNamesItsTask(t *testing.T) {
	k := NewSource(NewProc()).Task()
	a, b := k.Object(0), k.Object(1<<31)
	if a == b || a.Task() != k || b.Task() != k {
		t.Fatal(k, a, b)
	}
	if a.Index() != 0 || b.Index() != 1<<31 {
		t.Error(a, b)
	}
	if a.IsZero() || k.IsZero() || !(Object{}).IsZero() || !(Task{}).IsZero() || !(Actor{}).IsZero() {
		t.Error("zero values")
	}
}

func TestSourcesNeverAgree(t *testing.T) {
	const each = 1000
	var (
		mu   sync.Mutex
		seen = map[Task]bool{}
		wg   sync.WaitGroup
	)
	for range 4 {
		s := NewSource(NewProc())
		for range 2 {
			wg.Go(func() {
				for range each {
					k := s.Task()
					mu.Lock()
					if seen[k] {
						t.Errorf("%v twice", k)
					}
					seen[k] = true
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	if len(seen) != 8*each {
		t.Errorf("%d IDs", len(seen))
	}
}

func TestText(t *testing.T) {
	if s := (Addr{Node: "12D3KooWabcdefgh", Proc: 1}).String(); s != "abcdefgh/0000000000000001" {
		t.Error(s)
	}
	if s := (Addr{Node: "short"}).String(); s != "short" {
		t.Error(s)
	}
	if (Addr{Node: "n"}).IsZero() || !(Addr{}).IsZero() {
		t.Error("IsZero")
	}
	if a, b := NewJob(), NewJob(); len(a.String()) != 16 || a == b {
		t.Error("jobs", a, b)
	}
}

func TestGroupsOfOneProcessHaveTheirOwnShortNames(t *testing.T) {
	a, b := Group(TaskOf(0x1234567890abcdef, 1)), Group(TaskOf(0x1234567890abcdef, 0x1f))
	if a.Short() != "12345678/1" || b.Short() != "12345678/1f" {
		t.Errorf("%s and %s", a.Short(), b.Short())
	}
}
