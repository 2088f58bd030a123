package api_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/kadrehq/kadre/api"
)

// inside gives the value of a reference that came inside another value.
func inside(ctx context.Context, refs []api.Ref[[]byte]) ([]byte, error) { return refs[0].Get(ctx) }

var (
	insideFunc = api.Func1(inside)
	echoBytes  = api.Func1(echo[[]byte], api.RegisterAs("echo put bytes"))
)

// TestPutsThatEscape puts values on both sides of the size up to which they stay in Go memory, and reads
// them from tasks in another process, by value and by reference.
func TestPutsThatEscape(t *testing.T) {
	for name, c := range map[string]context.Context{"here": start(t), "elsewhere": startIsolated(t)} {
		for _, n := range []int{0, 1, 1 << 10, 32<<10 - 64, 32<<10 - 63, 200 << 10} {
			v := random(n)
			ref := must(api.Put(c, v))(t)
			if n > 0 {
				v[0]++ // a Ref has a copy
			}
			want := random(n)
			got := must(ref.Get(c))(t)
			if !bytes.Equal(got, want) {
				t.Fatal(name, n, "another value came back")
			}
			if n > 0 {
				got[0]++ // so has who got it
			}
			if got := must(echoBytes.With(c, ref).Get(c))(t); !bytes.Equal(got, want) {
				t.Error(name, n, "an argument has another value")
			}
			in := []api.Ref[[]byte]{ref}
			for range 2 {
				if got := must(insideFunc.Remote(c, in).Get(c))(t); !bytes.Equal(got, want) {
					t.Error(name, n, "a reference has another value")
				}
			}
			if err := api.Free(c, ref); err != nil {
				t.Error(name, n, err)
			}
			var lost *api.ObjectLostError
			if _, err := ref.Get(c); !errors.As(err, &lost) {
				t.Error(name, n, "freed, and still here:", err)
			}
			if _, err := insideFunc.Remote(c, in).Get(c); err == nil {
				t.Error(name, n, "freed, and still there")
			}
		}
	}
}

// TestPutFreedBeforeItEscapes hands on a reference to a value that is gone.
func TestPutFreedBeforeItEscapes(t *testing.T) {
	c := startIsolated(t)
	ref := must(api.Put(c, []byte("gone")))(t)
	if err := api.Free(c, ref); err != nil {
		t.Fatal(err)
	}
	if _, err := insideFunc.Remote(c, []api.Ref[[]byte]{ref}).Get(c); err == nil {
		t.Error("it came back")
	}
}
