package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/api"
)

// Tasks that a driver hands to its worker process over the ring they share.

var (
	sameText   = api.Func2(func(_ context.Context, s string, n int) (string, error) { return strings.Repeat(s, n), nil }, api.RegisterAs("test.sameText"))
	sameSlice  = api.Func1(func(_ context.Context, s []int32) ([]int32, error) { return s, nil }, api.RegisterAs("test.sameSlice"))
	whoAmI     = api.Func0(ownTask, api.RegisterAs("test.whoAmI"))
	whoBehind  = api.Func1(func(ctx context.Context, d time.Duration) (string, error) { time.Sleep(d); return ownTask(ctx) }, api.RegisterAs("test.whoBehind"))
	getOf      = api.Func1(getInside, api.RegisterAs("test.getOf"))
	untilFile  = api.Func1(waitsForFile, api.RegisterAs("test.untilFile"))
	slowOnce   = api.Func1(sleepsSometimes, api.RegisterAs("test.slowOnce"))
	exitsOnce  = api.Func1(goexitsSometimes, api.RegisterAs("test.exitsOnce"))
	heedsEnd   = api.Func1(writesAtItsEnd, api.RegisterAs("test.heedsEnd"))
	endProcess = api.Func1(endsProcess, api.RegisterAs("test.endProcess"))
	endOnce    = api.Func1(endsProcess, api.RegisterAs("test.endOnce"), api.MaxRetries(0))
)

func ownTask(ctx context.Context) (string, error) {
	i, ok := api.FromContext(ctx)
	if !ok {
		return "", errors.New("the task does not know itself")
	}
	return string(i.Task), nil
}

// waitsForFile returns when a file is there.
func waitsForFile(ctx context.Context, file string) (int, error) {
	for ctx.Err() == nil {
		if _, err := os.Stat(file); err == nil {
			return 1, nil
		}
		time.Sleep(time.Millisecond)
	}
	return 0, ctx.Err()
}

// writesAtItsEnd makes a file when it starts and another when its context ends.
func writesAtItsEnd(ctx context.Context, file string) (int, error) {
	os.WriteFile(file+".begin", nil, 0o600)
	<-ctx.Done()
	return 0, os.WriteFile(file+".end", nil, 0o600)
}

// waitFile waits until a file is there.
func waitFile(t *testing.T, c context.Context, file string) {
	t.Helper()
	if n, err := waitsForFile(c, file); n != 1 {
		t.Fatal(file, err)
	}
}

// fileGate names a file that open makes.
func fileGate(t *testing.T) (file string, open func()) {
	file = t.TempDir() + "/open"
	return file, func() { os.WriteFile(file, nil, 0o600) }
}

type refBox struct{ Ref api.Ref[int] }

func getInside(ctx context.Context, h refBox) (int, error) { return h.Ref.Get(ctx) }

func sleepsSometimes(_ context.Context, n int) (int, error) {
	if n%500 == 499 {
		time.Sleep(50 * time.Millisecond)
	}
	return n, nil
}

func goexitsSometimes(_ context.Context, n int) (int, error) {
	if n == 700 {
		runtime.Goexit()
	}
	return n, nil
}

// endsProcess ends its process when a file is not there, which it makes.
func endsProcess(_ context.Context, file string) (int, error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return os.Getpid(), nil
	}
	f.Close()
	os.Exit(3)
	return 0, nil
}

func TestIsolatedValues(t *testing.T) {
	c := startIsolated(t)
	for _, n := range []int{0, 1, 60, 70, 5000, 40 << 10, 300 << 10} { // bare, with a longer length, as objects
		if s, err := sameText.Remote(c, "x", n).Get(c); err != nil || s != strings.Repeat("x", n) {
			t.Errorf("%d bytes of text: %d, %v", n, len(s), err)
		}
		in := make([]int32, n)
		for i := range in {
			in[i] = int32(i)
		}
		out, err := sameSlice.Remote(c, in).Get(c)
		if err != nil || fmt.Sprint(out) != fmt.Sprint(in) || out == nil {
			t.Errorf("%d numbers: %d, %v", n, len(out), err)
		}
	}
	if out, err := sameSlice.Remote(c, nil).Get(c); err != nil || out != nil {
		t.Error("a nil slice:", out, err)
	}
	if s, err := sameText.Remote(c, strings.Repeat("y", 100<<10), 1).Get(c); err != nil || len(s) != 100<<10 {
		t.Error("a long argument:", len(s), err)
	}
}

// TestIsolatedReferences has tasks take what is not in their frames.
func TestIsolatedReferences(t *testing.T) {
	c := startIsolated(t)
	a := must(api.ArrayOf(c, []int64{1, 2, 3}))(t)
	array := must(api.Put(c, a))(t)
	small := must(api.Put(c, []int32{4, 5}))(t)
	large := must(api.Put(c, make([]int32, 100<<10)))(t)
	is := func(what string, got, want any, err error) {
		t.Helper()
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, not %v: %v", what, got, want, err)
		}
	}
	for range 3 { // the first is placed on the worker's executors, later ones are carried
		got, err := sumLongs.With(c, array).Get(c)
		is("an Array by reference", got, 6, err)
		got, err = sumLongs.Remote(c, a).Get(c)
		is("an Array", got, 6, err)
		got, err = sumLongs.With(c, twiceLongs.With(c, array)).Get(c)
		is("an Array of another task", got, 12, err)
		got, err = sumBehind.With(c, array).Get(c)
		is("an Array that is passed on", got, 6, err)
		got, err = sumBox.Remote(c, longsBox{a, array, squareFunc.Remote(c, 2)}).Get(c)
		is("an Array inside a value", got, 6+6+4, err)
		got, err = sumLists.With(c, api.All([]api.Ref[api.Array[int64]]{array, twiceLongs.With(c, array)})).Get(c)
		is("a list", got, 6+12, err)
		n, err := lenSlice.With(c, small).Get(c)
		is("a small slice", n, 2, err)
		n, err = lenSlice.With(c, large).Get(c)
		is("a large slice", n, 100<<10, err)
		n, err = lenSlice.Remote(c, make([]int32, 50<<10)).Get(c)
		is("a large slice that is copied", n, 50<<10, err)
		n, err = squareFunc.With(c, squareFunc.With(c, squareFunc.Remote(c, 2))).Get(c)
		is("a chain", n, 256, err)
		kept, err := keepLongs.With(c, array).Get(c)
		is("an Array that goes through", kept.Data(), []int64{1, 2, 3}, err)
	}
	late := must(api.Put(c, must(api.ArrayOf(c, make([]int64, 1<<20)))(t)))(t)
	is("an Array that a task kept", must(stash.With(c, late).Get(c))(t), 1<<20, api.Free(c, late))
	got, err := stashed.Remote(c).Get(c)
	is("the same after its object was deleted", got, 1<<20, err)
	if _, err := squareFunc.With(c, failFunc.Remote(c, "EOF")).Get(c); !errors.Is(err, io.EOF) {
		t.Error("an argument that failed:", err)
	}
	var lost *api.ObjectLostError
	if _, err := sumLongs.With(c, late).Get(c); !errors.As(err, &lost) {
		t.Error("an argument that was deleted:", err)
	}
}

type longsBox struct {
	A api.Array[int64]
	R api.Ref[api.Array[int64]]
	N api.Ref[int]
}

func sumOfLongs(_ context.Context, a api.Array[int64]) (s int, err error) {
	for _, x := range a.Data() {
		s += int(x)
	}
	return s, nil
}

func sumOfBox(ctx context.Context, b longsBox) (int, error) {
	one, err := sumOfLongs(ctx, b.A)
	if err != nil {
		return 0, err
	}
	two, err := sumLongs.With(ctx, b.R).Get(ctx)
	if err != nil {
		return 0, err
	}
	n, err := b.N.Get(ctx)
	return one + two + n, err
}

func sumOfLists(ctx context.Context, as []api.Array[int64]) (s int, err error) {
	for _, a := range as {
		n, _ := sumOfLongs(ctx, a)
		s += n
	}
	return s, nil
}

func doubled(ctx context.Context, a api.Array[int64]) (api.Array[int64], error) {
	b, err := api.NewArray[int64](ctx, a.Len())
	if err != nil {
		return b, err
	}
	for i, x := range a.Data() {
		b.Data()[i] = 2 * x
	}
	return b, nil
}

var stashOf api.Array[int64] // in the worker

var (
	sumLongs   = api.Func1(sumOfLongs, api.RegisterAs("test.sumLongs"))
	twiceLongs = api.Func1(doubled, api.RegisterAs("test.twiceLongs"))
	sumBehind  = api.Func1(func(ctx context.Context, a api.Array[int64]) (int, error) { return sumLongs.Remote(ctx, a).Get(ctx) }, api.RegisterAs("test.sumBehind"))
	sumBox     = api.Func1(sumOfBox, api.RegisterAs("test.sumBox"))
	sumLists   = api.Func1(sumOfLists, api.RegisterAs("test.sumLists"))
	lenSlice   = api.Func1(func(_ context.Context, s []int32) (int, error) { return len(s), nil }, api.RegisterAs("test.lenSlice"))
	keepLongs  = api.Func1(func(_ context.Context, a api.Array[int64]) (api.Array[int64], error) { return a, nil }, api.RegisterAs("test.keepLongs"))
	stash      = api.Func1(func(_ context.Context, a api.Array[int64]) (int, error) { stashOf = a; return a.Len(), nil }, api.RegisterAs("test.stash"))
	stashed    = api.Func0(func(context.Context) (int, error) { return len(stashOf.Data()), nil }, api.RegisterAs("test.stashed"))
)

func TestIsolatedIDs(t *testing.T) {
	c := startIsolated(t)
	for range 50 {
		before := whoBehind.Remote(c, time.Millisecond)
		want := before.ID().String()[:len("ObjectID(")+32] // it escapes before it is done
		if got, err := before.Get(c); err != nil || "ObjectID("+got != want {
			t.Fatal(got, want, err)
		}
		after := whoAmI.Remote(c)
		got, err := after.Get(c)
		if want := after.ID().String()[:len("ObjectID(")+32]; err != nil || "ObjectID("+got != want {
			t.Fatal(got, want, err)
		}
	}
}

// TestIsolatedBlocks has more tasks wait for later ones than the worker gets at first.
func TestIsolatedBlocks(t *testing.T) {
	c := startIsolated(t)
	g, open := fileGate(t)
	defer open()
	first := untilFile.Remote(c, g)
	var refs []api.Ref[int]
	for range 300 {
		refs = append(refs, getOf.Remote(c, refBox{first}))
	}
	last := squareFunc.Remote(c, 5) // it waits behind those
	if v, err := last.Get(c); v != 25 || err != nil {
		t.Fatal(v, err)
	}
	open()
	if _, err := api.GetAll(c, refs); err != nil {
		t.Fatal(err)
	}
}

// TestIsolatedCarrier has functions that are short mostly: the goroutine that reads the ring runs them.
func TestIsolatedCarrier(t *testing.T) {
	c := startIsolated(t)
	for name, f := range map[string]*api.RemoteFunc1[int, int]{"sleep": slowOnce, "goexit": exitsOnce} {
		refs := make([]api.Ref[int], 3000)
		for i := range refs {
			if refs[i] = f.Remote(c, i); i < 200 {
				refs[i].Get(c) // it is learned to be short
			}
		}
		for i, r := range refs {
			v, err := r.Get(c)
			if name == "goexit" && i == 700 {
				if err == nil || !strings.Contains(err.Error(), "Goexit") {
					t.Errorf("a task that calls Goexit: %d, %v", v, err)
				}
			} else if v != i || err != nil {
				t.Fatalf("%s %d: %d, %v", name, i, v, err)
			}
		}
	}
}

func TestIsolatedManyGetters(t *testing.T) {
	c := startIsolated(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				v, err := subFunc.Remote(c, i, g).Get(c)
				if v != i-g || err != nil {
					t.Error(v, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestIsolatedCancel(t *testing.T) {
	c := startIsolated(t)
	g, open := fileGate(t)
	defer open()
	one, cancel := context.WithCancel(c)
	var refs []api.Ref[int]
	for range 100 {
		refs = append(refs, untilFile.Remote(one, g))
	}
	cancel()
	for _, r := range refs {
		if _, err := r.Get(c); !errors.Is(err, api.ErrCancelled) {
			t.Fatal(err)
		}
	}
	if v, err := squareFunc.Remote(c, 3).Get(c); v != 9 || err != nil { // nothing is open: those before it have ended
		t.Fatal(v, err)
	}
	file := t.TempDir() + "/a"
	two, cancel := context.WithCancel(c)
	r := heedsEnd.Remote(two, file)
	waitFile(t, c, file+".begin")
	cancel()
	waitFile(t, c, file+".end")
	if _, err := r.Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Fatal(err)
	}
	r = heedsEnd.Remote(c, file+"2")
	waitFile(t, c, file+"2.begin")
	if err := api.Cancel(c, r); err != nil {
		t.Fatal(err)
	}
	waitFile(t, c, file+"2.end")
}

// TestIsolatedContexts ends a context under which some tasks are out, some queued and some wait for arguments, among others
// under another one.
func TestIsolatedContexts(t *testing.T) {
	c := startIsolated(t)
	g, open := fileGate(t)
	defer open()
	one, cancel := context.WithCancel(c)
	defer cancel()
	two, ends := context.WithCancel(c)
	defer ends()
	hold := untilFile.Remote(two, g)
	var with, without []api.Ref[int]
	for i := range 500 {
		with = append(with, untilFile.Remote(one, g), squareFunc.Remote(one, i), squareFunc.With(one, hold))
		without = append(without, squareFunc.Remote(two, i))
	}
	cancel()
	for i, r := range with {
		if _, err := r.Get(c); !errors.Is(err, api.ErrCancelled) && i%3 != 1 { // a short one may have ended before
			t.Fatal(i, err)
		}
	}
	if _, err := squareFunc.Remote(one, 1).Get(c); !errors.Is(err, api.ErrCancelled) {
		t.Fatal(err)
	}
	open()
	for i, r := range without {
		if v, err := r.Get(c); v != i*i || err != nil {
			t.Fatal(i, v, err)
		}
	}
}

func TestIsolatedWorkerDies(t *testing.T) {
	c := startIsolated(t)
	dir := t.TempDir()
	if pid, err := endProcess.Remote(c, dir+"/a").Get(c); err != nil || pid == 0 {
		t.Errorf("a task that is run again: %d, %v", pid, err)
	}
	var died *api.WorkerDiedError
	if _, err := endOnce.Remote(c, dir+"/b").Get(c); !errors.As(err, &died) {
		t.Errorf("a task that is not: %v", err)
	}
	if v, err := squareFunc.Remote(c, 4).Get(c); v != 16 || err != nil {
		t.Error(v, err)
	}
	array := must(api.Put(c, must(api.ArrayOf(c, []int64{1, 2, 3}))(t)))(t)
	if pid, err := endWith.With(c, api.Value(dir+"/c"), array).Get(c); err != nil || pid == 0 {
		t.Errorf("a task with a reference that is run again: %d, %v", pid, err)
	}
}

// TestIsolatedStrays has a task start a process in a session of its own, which goes with the worker all the same.
func TestIsolatedStrays(t *testing.T) {
	c := startIsolated(t)
	for _, how := range []string{"alone", "orphan"} {
		stray := must(startStray.Remote(c, how).Get(c))(t)
		if !runs(stray) {
			t.Fatalf("%s: process %d does not run", how, stray)
		}
		var died *api.WorkerDiedError
		if _, err := endOnce.Remote(c, t.TempDir()+"/d").Get(c); !errors.As(err, &died) {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); runs(stray); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: process %d outlives the worker that started it", how, stray)
			}
		}
	}
}

var startStray = api.Func1(startsStray, api.RegisterAs("test.startStray"))

// startsStray starts a process in a session of its own, with or without a parent, and gives its number.
func startsStray(_ context.Context, how string) (int, error) {
	sh := "exec sleep 600"
	if how == "orphan" {
		sh = "sleep 600 >/dev/null 2>&1 & echo $!"
	} else {
		sh = "echo $$; " + sh
	}
	cmd := exec.Command("sh", "-c", sh)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	var pid int
	_, err = fmt.Fscan(out, &pid)
	return pid, err
}

// runs says whether a process is there and has not ended.
func runs(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, rest, _ := strings.Cut(string(b), ") ")
	return err == nil && !strings.HasPrefix(rest, "Z") && !strings.HasPrefix(rest, "X")
}

// endsWith is endsProcess with an Array, which must be right each time.
func endsWith(ctx context.Context, file string, a api.Array[int64]) (int, error) {
	if fmt.Sprint(a.Data()) != "[1 2 3]" {
		return 0, fmt.Errorf("the Array is %v", a.Data())
	}
	return endsProcess(ctx, file)
}

var endWith = api.Func2(endsWith, api.RegisterAs("test.endWith"))
