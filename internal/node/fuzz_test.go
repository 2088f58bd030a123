package node

import (
	"io"
	"net"
	"testing"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/internal/wire"
)

// FuzzFrame gives a node frames with any body, from a process and from a node: it refuses them or not, and
// lives.
func FuzzFrame(f *testing.F) {
	n := startNode(f, private(testDir(f)))
	a := driver(f, n, wire.Hello{}, func(*fake, *wire.Frame) {})
	f.Cleanup(func() { a.leave(true) })
	p := (*n.procs.Load())[a.self.Proc]
	spec := a.spec("x", res("gpu", 1))
	for _, b := range [][]byte{nil, spec.Append(nil),
		wire.Marshal(&wire.Done{Tasks: []id.Task{{1}}}), wire.Marshal(&wire.Free{IDs: []id.Object{{1}}, Nodes: []id.Node{"x"}}),
		wire.Marshal(&wire.ObjectInfo{ID: id.Object{1}, Holders: []id.Node{"x"}, Size: 10}), wire.Marshal(&wire.IDs{IDs: []id.Object{{2}}}),
		wire.Marshal(&wire.JobQuery{Job: id.Job{9}}), wire.Marshal(&wire.Dead{Addrs: []id.Addr{{Node: "x"}}}),
		wire.Marshal(&wire.LogLine{Line: "x"}), wire.Marshal(&wire.LinkQuery{Proc: 3}), wire.Marshal(&wire.StatusQuery{What: "nodes"}),
		wire.Marshal(&wire.Group{Op: wire.GroupMake, Group: id.Group{1}, Job: a.job, Owner: a.self, Bundles: []map[string]float64{{"gpu": 1}}}), wire.Marshal(&wire.Group{Op: wire.GroupRemove, Group: id.Group{1}})} {
		f.Add(uint8(wire.KPlace), b)
		f.Add(uint8(wire.KGroup), b)
		f.Add(uint8(wire.KFree), b)
		f.Add(uint8(wire.KDead), b)
	}
	f.Fuzz(func(t *testing.T, kind uint8, body []byte) {
		if len(body) > 1<<12 {
			return
		}
		n.handle(p, &wire.Frame{Kind: wire.Kind(kind), From: a.self, To: n.self(), Req: 1, Body: body})
		n.handle(nil, &wire.Frame{Kind: wire.Kind(kind), From: id.Addr{Node: "x"}, To: n.self(), Req: 1, Body: body})
		n.steal.receive("x", body)
	})
}

func FuzzDescriptor(f *testing.F) {
	d := desc{Version: 1, Resources: map[string]float64{cpuName: 2}, Labels: map[string]string{"a": "b"}}
	f.Add(encode(&d))
	f.Add(encode(&load{Available: d.Resources, Load: 0.5, Jobs: 1}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if d, err := parseDesc(b); err == nil {
			encode(&d)
		}
		if l, err := parseLoad(b); err == nil {
			encode(&l)
		}
	})
}

func FuzzExeRequest(f *testing.F) {
	n := startNode(f, private(testDir(f)))
	f.Add(exeRequest([32]byte{1}, 0))
	f.Add(exeRequest([32]byte{}, -1))
	f.Fuzz(func(t *testing.T, b []byte) {
		if data, err := n.serveExe(b); err == nil || data != nil {
			t.Fatal("served an executable that nobody has")
		}
	})
}

// FuzzHello lets any bytes attach, and any words in the right form: the node takes the process or says why not, and
// nothing of it is left when it has hung up.
func FuzzHello(f *testing.F) {
	n := startNode(f, private(testDir(f)))
	f.Add([]byte{}, "", uint64(0), uint64(0), "")
	f.Add([]byte{0xff, 0xff, 0xff, 0x7f}, wire.AttachDriver, uint64(7), uint64(0), "/bin/true")
	f.Add([]byte{3, 0, 0, 0, 1, 2, 3}, wire.AttachWorker, uint64(8), uint64(1), "")
	f.Add([]byte{1, 0, 0, 0, 0xa0}, wire.AttachQuery, uint64(0), uint64(0), "objects:f00")
	f.Fuzz(func(t *testing.T, raw []byte, kind string, proc, worker uint64, word string) {
		if len(raw) > 1<<12 || len(word) > 1<<12 || len(kind) > 1<<12 {
			return
		}
		h := wire.Hello{Version: wire.Version, Kind: kind, PID: int(worker), Proc: id.Proc(proc), Worker: worker, Job: id.Job{1, byte(proc)}, Exe: word, What: word, Env: []string{word}}
		for _, say := range []func(c *net.UnixConn){
			func(c *net.UnixConn) { c.Write(raw) },
			func(c *net.UnixConn) { wire.SendMsg(c, &h) },
			func(c *net.UnixConn) { wire.SendMsg(c, &h); c.Write(raw) },
		} {
			a, b := socketPair(t)
			if err := n.Attach(b); err != nil {
				t.Fatal(err)
			}
			say(a)
			a.CloseWrite()
			io.Copy(io.Discard, a)
			a.Close()
		}
		until(t, "what attached to go", func() bool { u := n.arena.Audit(); return u.Empty() && len(u.Clients) == 0 })
	})
}
