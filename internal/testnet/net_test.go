package testnet_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/internal/testbed"
	"github.com/kadrehq/kadre/internal/testnet"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		testbed.Clean()
		os.Exit(code)
	}))
}

// left lists what this process's nets have left.
func left(t *testing.T) (all []string) {
	t.Helper()
	for _, dir := range []string{"/run/netns", os.TempDir()} {
		l, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("kadre-net-%d-*", os.Getpid())))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, l...)
	}
	return all
}

func TestNodesServeFallSilentAndGo(t *testing.T) {
	testbed.NeedRoot(t)
	n, err := testnet.New(t.Context(), testnet.Config{Nodes: 3, Exe: testbed.Kadre(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if l := left(t); len(l) > 0 {
			t.Errorf("left behind: %v", l)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitView(ctx, time.Minute); err != nil {
		t.Fatal(err)
	}
	a, b, c := n.Nodes[0], n.Nodes[1], n.Nodes[2]
	if u, err := a.Usage(); err != nil || u.Anon == 0 || u.File == 0 {
		t.Errorf("usage %+v, %v", u, err)
	}

	var at []int64
	if err := b.Ask(ctx, testnet.Order{Do: "publish", N: 20, Batch: 10}, &at); err != nil || len(at) != 20 {
		t.Fatalf("published %d, %v", len(at), err)
	}
	owner := testnet.OwnerOf(b.ID)
	var found []testnet.Located
	if err := a.Ask(ctx, testnet.Order{Do: "locate", Owner: owner, Span: 20, For: int64(time.Minute)}, &found); err != nil || len(found) != 20 {
		t.Errorf("found %d of 20, %v", len(found), err)
	}
	if err := c.Ask(ctx, testnet.Order{Do: "pull", Owner: owner, N: 20, For: int64(time.Minute)}, nil); err != nil {
		t.Error(err)
	}
	for _, do := range []string{"put", "miss", "ping"} {
		var took []testnet.Took
		if err := a.Ask(ctx, testnet.Order{Do: do, N: 5, Node: c.ID}, &took); err != nil || len(took) != 5 {
			t.Errorf("%s: %+v, %v", do, took, err)
		}
		for _, o := range took {
			if o.Err != "" || o.For <= 0 {
				t.Errorf("%s: %+v", do, o)
			}
		}
	}
	if err := a.Ask(ctx, testnet.Order{Do: "dance"}, nil); err == nil || !strings.Contains(err.Error(), "dance") {
		t.Errorf("an unknown order gives %v", err)
	}

	if _, err := n.Silence(c); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitView(ctx, time.Minute, a, b); err != nil {
		t.Error(err)
	}
	if err := n.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitView(ctx, time.Minute); err != nil {
		t.Error(err)
	}
	if err := n.Divide(a); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitView(ctx, time.Minute, b, c); err != nil {
		t.Error(err)
	}
	b.Kill()
	if err := n.Heal(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(ctx, "--join", a.Addr()); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitView(ctx, time.Minute); err != nil {
		t.Error(err)
	}
}

func TestNothingIsLeftWhenStartingFails(t *testing.T) {
	testbed.NeedRoot(t)
	n, err := testnet.New(t.Context(), testnet.Config{Nodes: 2, Exe: testbed.Kadre(t), Args: []string{"--no-such-flag"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "no-such-flag") {
		t.Errorf("a node that cannot start gives %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("^C"))
	if _, err := testnet.New(ctx, testnet.Config{Nodes: 2, Exe: testbed.Kadre(t)}); err == nil {
		t.Error("a net was made although nobody wants it")
	}
	if l := left(t); len(l) > 0 {
		t.Errorf("left behind: %v", l)
	}
}

// FuzzOrder is what a node may be told: each line is answered by one.
func FuzzOrder(f *testing.F) {
	f.Add([]byte(`{"Do":"status"}`))
	f.Add([]byte(`{"Do":"dance","N":-1}`))
	f.Add([]byte("[\n{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if strings.Contains(string(b), "Do") {
			return // orders need a node
		}
		var out strings.Builder
		testnet.Serve(t.Context(), (*node.Node)(nil), strings.NewReader(string(b)), &out)
		for line := range strings.Lines(out.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("answered %q", line)
			}
		}
	})
}
