package api_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// family is a value that refers to what its task made beside it.
type family struct {
	PID    int
	Filled api.Array[int64]
	Put    api.Array[int64] // an object before it was returned
	Count  api.Ref[int]
	Text   api.Ref[string]
	Large  api.Ref[[]byte]
	Nested api.Ref[[]api.Ref[[]byte]]
}

func makeFamily(ctx context.Context, n int) (f family, err error) {
	put := func(of error) {
		if err == nil {
			err = of
		}
	}
	f.PID = os.Getpid()
	var e error
	f.Filled, e = counted(ctx, n)
	put(e)
	f.Put, e = counted(ctx, n+1)
	put(e)
	_, e = api.Put(ctx, f.Put)
	put(e)
	f.Count, e = api.Put(ctx, n)
	put(e)
	f.Text, e = api.Put(ctx, strings.Repeat("x", n))
	put(e)
	f.Large, e = api.Put(ctx, random(200<<10))
	put(e)
	inner, e := api.Put(ctx, random(n))
	put(e)
	f.Nested, e = api.Put(ctx, []api.Ref[[]byte]{inner, f.Large})
	put(e)
	return f, err
}

// checkFamily reads all that f refers to.
func checkFamily(ctx context.Context, f family, n int) error {
	if f.Filled.Len() != n || f.Filled.Data()[n-1] != int64(n-1) || f.Put.Len() != n+1 || f.Put.Data()[n] != int64(n) {
		return errors.New("another Array")
	}
	if c, err := f.Count.Get(ctx); err != nil || c != n {
		return errors.Join(errors.New("another number"), err)
	}
	if s, err := f.Text.Get(ctx); err != nil || s != strings.Repeat("x", n) {
		return errors.Join(errors.New("another text"), err)
	}
	if b, err := f.Large.Get(ctx); err != nil || !bytes.Equal(b, random(200<<10)) {
		return errors.Join(errors.New("other bytes"), err)
	}
	in, err := f.Nested.Get(ctx)
	if err != nil || len(in) != 2 {
		return errors.Join(errors.New("other references"), err)
	}
	if in[1] != f.Large {
		return errors.New("the same object is another reference")
	}
	if b, err := in[0].Get(ctx); err != nil || !bytes.Equal(b, random(n)) {
		return errors.Join(errors.New("other bytes behind two references"), err)
	}
	return nil
}

// putFirst returns an Array that is an object already.
func putFirst(ctx context.Context, n int) (api.Array[int64], error) {
	a, err := counted(ctx, n)
	if err == nil {
		_, err = api.Put(ctx, a)
	}
	return a, err
}

func checkOf(ctx context.Context, f family, n int) (api.None, error) {
	return api.None{}, checkFamily(ctx, f, n)
}

var (
	familyFunc   = api.Func1(makeFamily)
	checkFunc    = api.Func2(checkOf)
	putFirstFunc = api.Func1(putFirst)
)

// killWorker kills the process of the tasks and waits until there is another one.
func killWorker(t *testing.T, c context.Context, pid int) {
	t.Helper()
	if pid == os.Getpid() {
		t.Fatal("the task ran here")
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for must(whoFunc.Remote(c).Get(c))(t).PID == pid {
		if c.Err() != nil {
			t.Fatal("the worker lives")
		}
	}
}

// TestFurtherResults reads what a task made beside its result: in the driver, in a task, and after the worker was killed,
// by who had looked at it before and by who had not.
func TestFurtherResults(t *testing.T) {
	const n = 1000
	t.Run("here", func(t *testing.T) {
		c := start(t)
		ref := familyFunc.Remote(c, n)
		if err := checkFamily(c, must(ref.Get(c))(t), n); err != nil {
			t.Error(err)
		}
		must(checkFunc.With(c, ref, api.Value(n)).Get(c))(t)
	})
	t.Run("elsewhere", func(t *testing.T) {
		c := startIsolated(t)
		seen, unseen, passed := familyFunc.Remote(c, n), familyFunc.Remote(c, n), familyFunc.Remote(c, n)
		whole := putFirstFunc.Remote(c, n)
		if err := checkFamily(c, must(seen.Get(c))(t), n); err != nil {
			t.Error("before: ", err)
		}
		must(checkFunc.With(c, passed, api.Value(n)).Get(c))(t)
		if _, _, err := api.Wait(c, []api.AnyRef{unseen, whole}, api.NumReturns(2)); err != nil {
			t.Fatal(err)
		}
		killWorker(t, c, must(seen.Get(c))(t).PID)
		for name, r := range map[string]api.Ref[family]{"seen": seen, "unseen": unseen, "passed": passed} {
			must(checkFunc.With(c, r, api.Value(n)).Get(c))(t)
			f, err := r.Get(c)
			if err == nil {
				err = checkFamily(c, f, n)
			}
			if err != nil {
				t.Error(name, "after its maker was killed: ", err)
			}
		}
		if a := must(whole.Get(c))(t); a.Len() != n || a.Data()[n-1] != n-1 {
			t.Error("another Array")
		}
	})
}

// fragile has its process killed when it is made again for the first time.
func fragile(ctx context.Context, n int) ([]byte, error) {
	if i, _ := api.FromContext(ctx); i.Attempt == 1 {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return random(n), nil
}

var fragileFunc = api.Func1(fragile)

// TestMadeAgainTwice loses a result, and kills the process that makes it again.
func TestMadeAgainTwice(t *testing.T) {
	c := startIsolated(t)
	ref := fragileFunc.Remote(c, 200<<10)
	if _, err := ref.Get(c); err != nil {
		t.Fatal(err)
	}
	if err := api.Free(c, ref); err != nil {
		t.Fatal(err)
	}
	got := must(insideFunc.Remote(c, []api.Ref[[]byte]{ref}).Get(c))(t)
	if !bytes.Equal(got, random(200<<10)) {
		t.Error("other bytes")
	}
}

// TestResultsOutliveTheirProcess reads results of a worker that was killed: inside of messages, and in the arena.
func TestResultsOutliveTheirProcess(t *testing.T) {
	c := startIsolated(t)
	var refs []api.Ref[[]byte]
	for _, n := range []int{1, 90 << 10, 200 << 10, 3 << 20} {
		refs = append(refs, echoBytes.Remote(c, random(n)))
	}
	if _, _, err := api.Wait(c, refs, api.NumReturns(len(refs))); err != nil {
		t.Fatal(err)
	}
	killWorker(t, c, must(whoFunc.Remote(c).Get(c))(t).PID)
	for _, r := range refs {
		b := must(r.Get(c))(t)
		if !bytes.Equal(b, random(len(b))) {
			t.Errorf("other bytes, %d of them", len(b))
		}
		if there := must(echoBytes.With(c, r).Get(c))(t); !bytes.Equal(b, there) {
			t.Errorf("a task got other bytes, %d of them", len(there))
		}
	}
}

// TestFurtherResultsAreFreed drops what tasks gave, while the job goes on: nothing stays in the store, neither of the
// last of them.
func TestFurtherResultsAreFreed(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	t.Setenv("KADRE_ISOLATE", "1")
	n, c := startSmall(t, smallStore)
	for range 3 {
		f := must(familyFunc.Remote(c, 1000).Get(c))(t)
		if err := checkFamily(c, f, 1000); err != nil {
			t.Fatal(err)
		}
		f.Filled.Release()
		f.Put.Release()
	}
	for end := time.Now().Add(within); ; {
		must(heapFunc.Remote(c, 0).Get(c))(t) // collects there
		heap(c, 0)
		s := n.Status().Store
		if s.Objects == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("left in the store: %+v", s)
		}
	}
}

// forgetful puts objects and forgets them.
func forgetful(ctx context.Context, n int) (int, error) {
	for range n {
		if _, err := api.Put(ctx, random(1<<20)); err != nil {
			return 0, err
		}
	}
	return os.Getpid(), nil
}

var forgetfulFunc = api.Func1(forgetful)

// TestIdleProcessForgets has a worker process put objects that nothing refers to, and then nothing to do: they leave the
// store long before Go collects by itself, which is every 2 minutes.
func TestIdleProcessForgets(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	t.Setenv("KADRE_ISOLATE", "1")
	n, c := startSmall(t, smallStore)
	const objects = 8
	if pid := must(forgetfulFunc.Remote(c, objects).Get(c))(t); pid == os.Getpid() {
		t.Fatal("the task ran here")
	}
	begin := time.Now()
	for n.Status().Store.Objects > 0 {
		if time.Since(begin) > time.Minute {
			t.Fatalf("left in the store: %+v", n.Status().Store)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func manyRefs(ctx context.Context, n int) (refs []api.Ref[int], err error) {
	for i := range n {
		r, err := api.Put(ctx, i)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

var manyRefsFunc = api.Func1(manyRefs)

// TestTooManyReferences has a worker process return more references than a message takes: the getter hears so.
func TestTooManyReferences(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a worker process")
	}
	t.Setenv("KADRE_ISOLATE", "1")
	_, c := startSmall(t, smallStore)
	ctx, cancel := context.WithTimeout(c, time.Minute)
	defer cancel()
	if _, err := manyRefsFunc.Remote(c, 20_000).Get(ctx); err == nil || !strings.Contains(err.Error(), "holds 20000 references") {
		t.Fatal("20,000 references in one result:", err)
	}
	refs := must(manyRefsFunc.Remote(c, 3000).Get(ctx))(t)
	if v := must(refs[2999].Get(ctx))(t); v != 2999 {
		t.Fatal("another value:", v)
	}
}
