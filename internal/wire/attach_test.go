package wire

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// socketPair gives two connected unix sockets.
func socketPair(t testing.TB) (a, b *net.UnixConn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	var c [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "socket")
		n, err := net.FileConn(f)
		f.Close()
		if err != nil {
			t.Fatal(err)
		}
		c[i] = n.(*net.UnixConn)
		t.Cleanup(func() { n.Close() })
	}
	return c[0], c[1]
}

func TestAttachMessages(t *testing.T) {
	a, b := socketPair(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	hello := Hello{Version: Version, Kind: AttachDriver, PID: 3, Proc: 4, Job: [8]byte{5}, Exe: "/x", Args: []string{"-v"}, Env: []string{"A=b"}}
	if err := SendMsg(a, &hello, int(w.Fd())); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := SendMsg(a, &Notice{Offer: &Offer{Proc: 9, Side: 1}}); err != nil {
		t.Fatal(err)
	}
	a.Close()

	var gotHello Hello
	fds, err := RecvMsg(b, &gotHello)
	if err != nil || len(fds) != 1 || !reflect.DeepEqual(gotHello, hello) {
		t.Fatalf("%+v, %v, %v", gotHello, fds, err)
	}
	if flags, _, _ := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fds[0]), syscall.F_GETFD, 0); flags&syscall.FD_CLOEXEC == 0 {
		t.Error("the descriptor would be inherited")
	}
	f := os.NewFile(uintptr(fds[0]), "pipe")
	f.WriteString("through")
	f.Close()
	if got, _ := io.ReadAll(r); string(got) != "through" {
		t.Errorf("pipe gave %q", got)
	}
	var n Notice
	if fds, err := RecvMsg(b, &n); err != nil || len(fds) != 0 || n.Offer == nil || n.Offer.Proc != 9 || n.Bye != nil {
		t.Fatalf("%+v, %v, %v", n, fds, err)
	}
	if _, err := RecvMsg(b, &n); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
}

func TestAttachRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		sent []byte
		want string
	}{
		{"too long", []byte{0, 0, 0, 1, 0}, "over its limit"},
		{"cut in the length", []byte{1, 0}, "EOF"},
		{"cut in the body", []byte{9, 0, 0, 0, 1}, "EOF"},
		{"not CBOR", []byte{1, 0, 0, 0, 0xff}, "cbor"},
	} {
		a, b := socketPair(t)
		a.Write(c.sent)
		a.Close()
		if _, err := RecvMsg(b, &Hello{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if err := SendMsg(nil, &Hello{Exe: strings.Repeat("x", MaxAttach)}); err == nil {
		t.Error("an overlong message was sent")
	}
	if err := SendMsg(nil, &Bye{}, make([]int, MaxAttachFDs+1)...); err == nil {
		t.Error("too many descriptors were sent")
	}
}

func TestAttachTooManyFDs(t *testing.T) {
	a, b := socketPair(t)
	fds := make([]int, MaxAttachFDs+1)
	for i := range fds {
		fds[i] = 0
	}
	if _, _, err := a.WriteMsgUnix([]byte{0, 0, 0, 0}, syscall.UnixRights(fds...), nil); err != nil {
		t.Fatal(err)
	}
	before := openFDs(t)
	if _, err := RecvMsg(b, &Bye{}); err == nil || !strings.Contains(err.Error(), "descriptors") {
		t.Fatalf("got %v", err)
	}
	if after := openFDs(t); after > before {
		t.Errorf("%d descriptors open, %d before", after, before)
	}
}

func openFDs(t *testing.T) int {
	t.Helper()
	e, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(e)
}

func FuzzAttach(f *testing.F) {
	for _, m := range []any{&Hello{Kind: AttachQuery, What: "status"}, &Welcome{Err: &ErrorRecord{Text: "no"}}, &Notice{Bye: &Bye{}}, &Answer{JSON: []byte("{}")}} {
		f.Add(Marshal(m))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > 1<<12 {
			return
		}
		for _, m := range []any{&Hello{}, &Welcome{}, &Notice{}, &Answer{}} {
			a, b := socketPair(t)
			a.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(body))), body...))
			a.Close()
			if _, err := RecvMsg(b, m); err == nil {
				if again := Marshal(m); len(again) == 0 || bytes.Equal(again, nil) {
					t.Fatal("decoded but cannot be encoded")
				}
			}
			b.Close()
		}
	})
}
