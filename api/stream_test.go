package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// Part is an item that is not immediate, with a reference inside.
type Part struct {
	N    int
	Data []byte
	Ref  api.Ref[string]
}

// countTo yields the numbers below n, noting in a file how far it has come and that its context ended.
func countTo(ctx context.Context, n int, note string) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		defer func() {
			if note != "" && ctx.Err() != nil {
				os.WriteFile(note, []byte("ended"), 0o600)
			}
		}()
		for i := range n {
			if note != "" {
				os.WriteFile(note, fmt.Append(nil, i), 0o600)
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

// partsTo yields n parts of so many bytes each.
func partsTo(ctx context.Context, n, size int) iter.Seq2[Part, error] {
	return func(yield func(Part, error) bool) {
		for i := range n {
			ref, err := api.Put(ctx, fmt.Sprint("ref ", i))
			if !yield(Part{i, bytes.Repeat([]byte{byte(i)}, size), ref}, err) {
				return
			}
		}
	}
}

// odd yields the number or an error in its place, and ends as asked.
func odd(ctx context.Context, n int, end string) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for i := range n {
			var err error
			if i%2 == 1 {
				err = fmt.Errorf("%d is odd: %w", i, fs.ErrInvalid)
			}
			if !yield(i, err) {
				return
			}
		}
		switch end {
		case "panic":
			panic("at the end")
		case "wait":
			<-ctx.Done()
		}
	}
}

// dying yields numbers, and its process dies before it has yielded all; the second time it does not.
func dying(ctx context.Context, n int, mark string) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		_, err := os.Stat(mark)
		for i := range n {
			if i == n/2 && err != nil {
				os.WriteFile(mark, nil, 0o600)
				os.Exit(9)
			}
			if !yield(i, nil) {
				return
			}
		}
	}
}

var (
	countStream = api.Stream2(countTo)
	partStream  = api.Stream2(partsTo)
	oddStream   = api.Stream2(odd)
	dyingStream = api.Stream2(dying)
	pairStream  = api.Stream0(pair)
)

func pair(context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) { _ = yield("a", nil) && yield("b", nil) }
}

// everywhere runs a test with tasks in this process, and in a worker process.
func everywhere(t *testing.T, f func(t *testing.T, c context.Context)) {
	t.Run("in process", func(t *testing.T) { f(t, start(t)) })
	t.Run("in a worker", func(t *testing.T) { f(t, startIsolated(t)) })
}

func TestStream(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		next := 0
		for v, err := range countStream.Remote(c, 1000, "").Values(c) {
			if err != nil || v != next {
				t.Fatalf("item %d is %d, %v", next, v, err)
			}
			next++
		}
		if next != 1000 {
			t.Errorf("%d items of 1000", next)
		}
		var all []string
		s := pairStream.Remote(c)
		for ref, err := range s.Refs(c) {
			all = append(all, must(ref.Get(c))(t), fmt.Sprint(err))
		}
		if got := strings.Join(all, " "); got != "a <nil> b <nil>" {
			t.Errorf("refs: %s", got)
		}
		for range s.Values(c) {
			t.Error("a stream that was read gives something")
		}
		ready, rest, err := api.Wait(c, []api.Stream[string]{s, pairStream.Remote(c)}, api.NumReturns(2))
		if len(ready) != 2 || len(rest) != 0 || err != nil {
			t.Errorf("Wait for streams: %v, %v, %v", ready, rest, err)
		}
	})
}

func TestStreamOfParts(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		for _, size := range []int{0, 100, 300 << 10} { // the last lie in the arena
			next := 0
			for p, err := range partStream.Options(api.Buffer(3)).Remote(c, 12, size).Values(c) {
				if err != nil || p.N != next || !bytes.Equal(p.Data, bytes.Repeat([]byte{byte(next)}, size)) {
					t.Fatalf("part %d of %d bytes: %d, %d bytes, %v", next, size, p.N, len(p.Data), err)
				}
				if s := must(p.Ref.Get(c))(t); s != fmt.Sprint("ref ", next) {
					t.Errorf("the ref in part %d gives %q", next, s)
				}
				next++
			}
			if next != 12 {
				t.Errorf("%d parts of 12", next)
			}
		}
	})
}

func TestStreamErrors(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		for end, want := range map[string]string{"": "", "panic": "at the end"} {
			n, last := 0, error(nil)
			for v, err := range oddStream.Remote(c, 10, end).Values(c) {
				if n == 10 {
					last = err
					continue
				}
				var task *api.TaskError
				if n%2 == 0 && (err != nil || v != n) || n%2 == 1 && (!errors.As(err, &task) || !errors.Is(err, fs.ErrInvalid)) {
					t.Fatalf("item %d: %d, %v", n, v, err)
				}
				n++
			}
			if n != 10 || want == "" && last != nil || want != "" && !strings.Contains(fmt.Sprint(last), want) {
				t.Errorf("end %q after %d items: %v", end, n, last)
			}
		}
		wait, cancel := context.WithCancel(c)
		n := 0
		for _, err := range oddStream.Remote(wait, 4, "wait").Values(c) {
			if n++; n == 4 {
				cancel() // the context of the generator
			}
			if n == 5 && !errors.Is(err, api.ErrCancelled) {
				t.Errorf("the end of its context: %v", err)
			}
		}
		if cancel(); n != 5 {
			t.Errorf("%d items and errors", n)
		}
		waiting, stop := context.WithCancel(c)
		defer stop()
		s := oddStream.Remote(c, 1, "wait")
		n = 0
		for _, err := range s.Values(waiting) {
			stop()
			if n++; n == 2 && err != context.Canceled {
				t.Errorf("the end of the waiting: %v", err)
			}
		}
		if err := api.Cancel(c, s); err != nil || n != 2 {
			t.Errorf("%d items and errors; Cancel: %v", n, err)
		}
		for _, err := range s.Values(c) {
			if !errors.Is(err, api.ErrCancelled) {
				t.Errorf("after Cancel: %v", err)
			}
		}
	})
	var zero api.Stream[int]
	for _, err := range zero.Values(context.Background()) {
		if !errors.Is(err, api.ErrZero) {
			t.Errorf("zero Stream: %v", err)
		}
	}
}

// awaitNote waits until the generator has written this.
func awaitNote(t *testing.T, c context.Context, note, want string) {
	t.Helper()
	for {
		if b, _ := os.ReadFile(note); string(b) == want {
			return
		} else if c.Err() != nil {
			t.Fatalf("the generator notes %q, not %q", b, want)
		}
		runtime.Gosched()
	}
}

func TestStreamBuffer(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		note := filepath.Join(t.TempDir(), "note")
		s := countStream.Options(api.Buffer(5)).Remote(c, 1000, note)
		awaitNote(t, c, note, "5") // five are unread, the sixth waits
		n := 0
		for range s.Values(c) {
			if n++; n == 3 {
				break
			}
			awaitNote(t, c, note, fmt.Sprint(5+n))
		}
		awaitNote(t, c, note, "ended") // who leaves early ends its context
		for _, err := range s.Values(c) {
			if !errors.Is(err, api.ErrClosed) {
				t.Errorf("a stream that was left gives %v", err)
			}
		}
	})
}

func TestStreamDropped(t *testing.T) {
	everywhere(t, func(t *testing.T, c context.Context) {
		note := filepath.Join(t.TempDir(), "note")
		func() {
			s := countStream.Options(api.Buffer(5)).Remote(c, 1000, note)
			awaitNote(t, c, note, "5")
			runtime.KeepAlive(s)
		}()
		for {
			runtime.GC()
			if b, _ := os.ReadFile(note); string(b) == "ended" {
				return
			} else if c.Err() != nil {
				t.Fatal("a generator whose stream nobody holds goes on")
			}
		}
	})
}

func TestStreamOfProcessThatDies(t *testing.T) {
	c := start(t)
	read := func(o ...api.TaskOption) (got []int, last error) {
		s := dyingStream.Options(append(o, api.OwnProcess())...).Remote(c, 10, filepath.Join(t.TempDir(), "mark"))
		for v, err := range s.Values(c) {
			if last = err; err == nil {
				got = append(got, v)
			}
		}
		return got, last
	}
	got, err := read()
	var died *api.WorkerDiedError
	if len(got) > 5 || !errors.As(err, &died) {
		t.Errorf("without MaxRetries: %v, %v", got, err)
	}
	got, err = read(api.MaxRetries(1))
	if fmt.Sprint(got) != "[0 1 2 3 4 5 6 7 8 9]" || err != nil {
		t.Errorf("with MaxRetries(1): %v, %v", got, err)
	}
}
