package p2p

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kadrehq/kadre/p2p/admit"
)

func TestTroublesAreKeptUntilTheyAreOver(t *testing.T) {
	var ts troubles
	for i := range maxTroubles + 5 {
		ts.note(Trouble{Addr: fmt.Sprintf("10.0.0.%d:1", i)}, errors.New("no"))
	}
	if l := ts.list(); len(l) != maxTroubles || l[len(l)-1].Addr != "10.0.0.5:1" {
		t.Errorf("%d are kept, the oldest %+v", len(l), l[len(l)-1])
	}
	ts.note(Trouble{Peer: "a", Addr: "x"}, fmt.Errorf("so: %w", admit.ErrToken))
	ts.note(Trouble{Peer: "a", Addr: "y"}, fmt.Errorf("%s: %w", strings.Repeat("so", maxTroubleIs), admit.ErrVersion))
	if x := ts.list()[0]; x.Peer != "a" || x.Addr != "y" || x.Kind != TroubleVersion || x.Times != 2 || len(x.Why) != maxTroubleIs {
		t.Errorf("%+v", x)
	}
	ts.over("a")
	if x := ts.list()[0]; x.Peer == "a" {
		t.Errorf("%+v is over", x)
	}
	dial := func(err error) error { return fmt.Errorf("lane: %w", &net.OpError{Op: "dial", Err: err}) }
	for want, err := range map[string]error{
		TroubleRoute:   dial(syscall.EHOSTUNREACH),
		TroubleRefused: dial(syscall.ECONNREFUSED),
		TroubleSilent:  dial(context.DeadlineExceeded),
		TroubleName:    dial(&net.DNSError{Err: "no such host"}),
		TroubleSlow:    &net.OpError{Op: "read", Err: net.ErrClosed},
		TroubleOver:    &turnedDown{"member: a later start of this node was seen, it is over"},
		TroubleDenied:  admit.ErrDenied,
		TroubleCluster: admit.ErrCluster,
		TroubleOther:   errors.New("something"),
	} {
		if got := troubleOf(err); got != want {
			t.Errorf("%v is %q, wanted %q", err, got, want)
		}
	}
}

func TestTryTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	mine, other := token(t, NewToken()), token(t, NewToken())
	h, err := tryStart(t, mine, nil)
	if err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	at := h.Addrs()[0]
	for _, c := range []struct {
		addr, token, cluster, want string
		versions                   [2]byte
	}{
		{at, mine, "", "", [2]byte{}},
		{at, other, "", TroubleToken, [2]byte{}},
		{at, mine, "another", TroubleCluster, [2]byte{}},
		{at, mine, "", TroubleVersion, [2]byte{200, 201}},
		{free(t), mine, "", TroubleRefused, [2]byte{}},
		{silent.Addr().String(), mine, "", TroubleSlow, [2]byte{}},
	} {
		who, kind, err := Try(t.Context(), Config{Cluster: c.cluster, TokenFile: c.token, speaks: c.versions}, c.addr)
		if kind != c.want || (err == nil) != (c.want == "") || (err == nil) != (who == h.ID()) {
			t.Errorf("%s: %q from %q, %v; wanted %q", c.addr, kind, who, err, c.want)
		}
	}
	// The node itself knows that somebody came with another token, and holds no more against it than that.
	for end := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		kinds := map[string]bool{}
		for _, x := range h.Status().Troubles {
			kinds[x.Kind] = x.In
		}
		if len(kinds) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the node tells of no trouble: %+v", h.Status().Troubles)
		}
	}
	if len(h.Members()) != 1 {
		t.Errorf("who only tries is a member: %v", h.Members())
	}
}
