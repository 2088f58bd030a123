package registrar

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func member(i int) Member { return Member{Node: id.Node(fmt.Sprint("n", i)), Epoch: uint64(i)} }

func samples() []Message {
	cfg := &Config{Conf: Conf{Era: 1, Genesis: Genesis{By: member(1), Nth: 2}, Number: 3}, Members: []Member{member(1), member(2), member(3)}}
	v := Value{Holder: Holder{Lease: Lease{At: member(2), Term: 4}, Actor: id.Actor{1}, Info: []byte("info")}}
	b := Ballot{Round: 7, By: member(2)}
	return []Message{
		{Kind: Query, Conf: cfg.Conf, Op: 1, Key: "nname"},
		{Kind: Prepare, Conf: cfg.Conf, Op: 1, Key: "nname", Ballot: b, Fresh: true},
		{Kind: Promise, Conf: cfg.Conf, Op: 1, Ballot: b, Accepted: b, Value: v},
		{Kind: Accept, Conf: cfg.Conf, Op: 1, Key: "l" + strings.Repeat("x", MaxKey-1), Ballot: b, Value: Value{Count: 9, Over: true}},
		{Kind: Refuse, Conf: cfg.Conf, Op: 1, Ballot: b, Why: wedged},
		{Kind: SealPromise, Conf: cfg.Conf, Ballot: b, State: []Register{{Key: "na", Accepted: b, Value: v}, {Key: "lb", Accepted: b}}},
		{Kind: SealAccept, Conf: cfg.Conf, Ballot: b, Config: cfg, State: []Register{{Key: "na", Accepted: b, Value: v}}},
		{Kind: News, Conf: cfg.Conf, Config: cfg},
	}
}

func TestMessages(t *testing.T) {
	for _, m := range samples() {
		b := m.Append(nil)
		got, err := Parse(b)
		if err != nil || !bytes.Equal(got.Append(nil), b) || got.Kind != m.Kind || !reflect.DeepEqual(got.Config, m.Config) {
			t.Errorf("%d: %v", m.Kind, err)
		}
		for i := range len(b) {
			if _, err := Parse(b[:i]); !errors.Is(err, ErrMessage) {
				t.Fatalf("%d cut at %d: %v", m.Kind, i, err)
			}
		}
	}
	one := func(n int) *Config { return &Config{Members: make([]Member, n)} }
	for i, m := range []Message{
		{},
		{Kind: News + 1},
		{Kind: Query},
		{Kind: Query, Key: "x"},
		{Kind: Accept, Key: "n" + strings.Repeat("x", MaxKey)},
		{Kind: Accept, Key: "n", Value: Value{Holder: Holder{Info: make([]byte, MaxInfo+1)}}},
		{Kind: News},
		{Kind: News, Config: one(0)},
		{Kind: News, Config: one(2)},
		{Kind: Start, Config: one(maxMembers + 1)},
		{Kind: Promise, State: make([]Register, 1)},
		{Kind: Promise, State: make([]Register, maxRegisters+1)},
	} {
		if _, err := Parse(m.Append(nil)); !errors.Is(err, ErrMessage) {
			t.Errorf("bad message %d: %v", i, err)
		}
	}
}

// TestStateFitsAMessage fills a registrar until it refuses: what it tells at the end of its configuration is one message.
func TestStateFitsAMessage(t *testing.T) {
	a := newAcceptor(member(1), Config{Members: []Member{member(1)}}, nil)
	b := Ballot{Round: 1, By: member(1)}
	n := 0
	for ; ; n++ {
		key := fmt.Sprintf("n%0500d", n)
		v := Value{Holder: Holder{Lease: Lease{At: Member{Node: id.Node(strings.Repeat("n", 52)), Epoch: 1 << 60}, Term: 1}, Actor: id.Actor{1}, Info: make([]byte, 700)}}
		if r := a.answer(0, 0, &Message{Kind: Prepare, Key: key, Ballot: b}); r.Kind == Refuse {
			if r.Why != full {
				t.Fatal(r.Why)
			}
			break
		}
		a.answer(0, 0, &Message{Kind: Accept, Key: key, Ballot: b, Value: v})
	}
	m := a.answer(0, 0, &Message{Kind: SealPrepare, Ballot: b})
	if l := len(m.Append(nil)); n < 400 || l > wire.MaxBody || len(m.State) != n {
		t.Errorf("%d registers take %d bytes", n, l)
	}
}

func FuzzMessage(f *testing.F) {
	for _, m := range samples() {
		f.Add(m.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			return
		}
		again, err := Parse(m.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), m.Append(nil)) {
			t.Fatalf("%v: %+v", err, m)
		}
		r := New(member(1), 1, 1)
		r.Up(2, member(2))
		r.Receive(3, member(2), m) // no message from outside makes it panic
		r.Tick(leaseTime)
	})
}
