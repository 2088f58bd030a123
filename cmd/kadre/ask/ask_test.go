package ask

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen serves one connection with f on a socket with a short path.
func listen(t *testing.T, f func(*net.UnixConn)) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		f(c.(*net.UnixConn))
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return path
}

func TestAsk(t *testing.T) {
	hellos := make(chan wire.Hello, 1)
	path := listen(t, func(c *net.UnixConn) {
		var hello wire.Hello
		if _, err := wire.RecvMsg(c, &hello); err != nil {
			t.Error(err)
		}
		hellos <- hello
		if err := wire.SendMsg(c, &wire.Answer{JSON: []byte(`{"n":3}`)}); err != nil {
			t.Error(err)
		}
	})
	var got struct{ N int }
	if err := Into(t.Context(), path, Status, &got); err != nil || got.N != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if hello := <-hellos; hello.Kind != wire.AttachQuery || hello.What != Status || hello.PID != os.Getpid() {
		t.Errorf("asked %+v", hello)
	}
}

func TestAskIsRefused(t *testing.T) {
	path := listen(t, func(c *net.UnixConn) {
		wire.RecvMsg(c, new(wire.Hello))
		wire.SendMsg(c, &wire.Answer{Err: &wire.ErrorRecord{Text: "no such view"}})
	})
	var rec *wire.ErrorRecord
	if _, err := Node(t.Context(), path, "nonsense"); !errors.As(err, &rec) {
		t.Errorf("refusal is %v", err)
	}
	path = listen(t, func(c *net.UnixConn) { wire.RecvMsg(c, new(wire.Hello)) })
	if _, err := Node(t.Context(), path, Status); err == nil {
		t.Error("a node that hangs up gives no error")
	}
	path = listen(t, func(c *net.UnixConn) { wire.RecvMsg(c, new(wire.Hello)); c.Read(make([]byte, 1)) })
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := Node(ctx, path, Status); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a silent node gives %v", err)
	}
}

func TestNoNode(t *testing.T) {
	dir, err := os.MkdirTemp("", "k")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	t.Setenv("XDG_RUNTIME_DIR", dir)
	t.Setenv("KADRE_SOCKET", "")
	if _, err := Socket("", "default"); !errors.Is(err, ErrNoNode) {
		t.Errorf("an empty runtime folder gives %v", err)
	}
	if _, err := Node(t.Context(), filepath.Join(dir, "none"), Status); !errors.Is(err, ErrNoNode) {
		t.Errorf("a missing socket gives %v", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "dead"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := Node(t.Context(), filepath.Join(dir, "dead"), Status); !errors.Is(err, ErrNoNode) {
		t.Errorf("a dead node's socket gives %v", err)
	}
	t.Setenv("KADRE_SOCKET", "/from/env")
	if s, _ := Socket("", "default"); s != "/from/env" {
		t.Errorf("KADRE_SOCKET is not taken: %s", s)
	}
	if s, _ := Socket("/named", "default"); s != "/named" {
		t.Errorf("the named socket is not taken: %s", s)
	}
}
