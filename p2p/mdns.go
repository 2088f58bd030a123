package p2p

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	"github.com/kadrehq/kadre/p2p/member"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// Discovery on the local network is multicast DNS (RFC 6762) with a service whose name derives from the cluster's
// token: strangers see that there is a cluster and where its nodes listen, not which, and get nowhere without the
// token. Any answer is a hint only: who listens there proves itself as anybody does.
const (
	mdnsPacket  = 9000 // the largest that is read, and the largest that RFC 6762 allows
	mdnsRecords = 64   // of one packet that are looked at
	mdnsTTL     = 120
	mdnsFirst   = 2 * time.Second // from the first question to the second, then doubling
	mdnsMost    = time.Minute
	mdnsAnswer  = 200 * time.Millisecond // answers are spread over this time, and so far apart at least
	mdnsTold    = 64                     // found nodes that wait to be taken
)

var mdnsGroup = &net.UDPAddr{IP: net.IPv4(224, 0, 0, 251), Port: 5353}

// mdns asks and answers on all interfaces. Its socket is shared with other programs of the machine.
type mdns struct {
	names atomic.Pointer[[]string] // of the service, one for each token accepted
	conn  net.PacketConn
	pc    *ipv4.PacketConn
	asked chan struct{}
	found chan foundNode
}

// foundNode is what an answer says.
type foundNode struct {
	id    id.Node
	epoch uint64
	addrs []string
}

// openMDNS opens the socket for services of these names.
func openMDNS(names []string) (*mdns, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		if e := c.Control(func(fd uintptr) {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
		}); e != nil {
			return e
		}
		return err
	}}
	c, err := lc.ListenPacket(context.Background(), "udp4", mdnsGroup.String())
	if err != nil {
		return nil, fmt.Errorf("p2p: opening the socket for multicast DNS: %w", err)
	}
	m := &mdns{conn: c, pc: ipv4.NewPacketConn(c), asked: make(chan struct{}, 1), found: make(chan foundNode, mdnsTold)}
	m.serve(names)
	m.pc.SetMulticastTTL(255) // as the RFC wants; no router forwards this group
	m.interfaces()
	return m, nil
}

// mdnsPurpose derives the names of a cluster's service from its tokens.
func mdnsPurpose(cfg Config) string { return "mdns " + cfg.Cluster }

// serve goes on with services of these names.
func (m *mdns) serve(names []string) {
	var l []string
	for _, n := range names {
		l = append(l, "_kadre-"+n+"._tcp.local.")
	}
	m.names.Store(&l)
}

func (m *mdns) close() { m.conn.Close() }

// interfaces joins the group on all interfaces, those that have come since too.
func (m *mdns) interfaces() (l []net.Interface) {
	all, _ := net.Interfaces() // without them there is nothing to send on
	for _, i := range all {
		if i.Flags&net.FlagUp != 0 && i.Flags&net.FlagMulticast != 0 {
			m.pc.JoinGroup(&i, mdnsGroup) // fails where it was joined before
			l = append(l, i)
		}
	}
	return l
}

// send multicasts a packet.
func (m *mdns) send(b []byte) {
	for _, i := range m.interfaces() {
		m.pc.WriteTo(b, &ipv4.ControlMessage{IfIndex: i.Index}, mdnsGroup) // a network that is down now may be up at the next
	}
}

// read takes packets until the socket is closed.
func (m *mdns) read() {
	b := make([]byte, mdnsPacket)
	for {
		n, _, err := m.conn.ReadFrom(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		asked, found := parseMDNS(b[:n], *m.names.Load())
		if asked {
			select {
			case m.asked <- struct{}{}:
			default:
			}
		}
		for _, f := range found {
			select {
			case m.found <- f:
			default: // it answers again
			}
		}
	}
}

// question asks for all nodes of these services.
func question(names []string) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{})
	if err := b.StartQuestions(); err != nil {
		return nil, err
	}
	for _, s := range names {
		n, err := dnsmessage.NewName(s)
		if err != nil {
			return nil, err
		}
		if err := b.Question(dnsmessage.Question{Name: n, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// answer tells of a node.
func answer(names []string, f foundNode) ([]byte, error) {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{Response: true, Authoritative: true})
	b.EnableCompression()
	if err := b.StartAnswers(); err != nil {
		return nil, err
	}
	text := []string{"id=" + string(f.id), "epoch=" + strconv.FormatUint(f.epoch, 10)}
	for _, a := range f.addrs[:min(len(f.addrs), member.MaxAddrs)] {
		if len(a) < 250 { // a TXT string has 255 bytes at most
			text = append(text, "a="+a)
		}
	}
	for _, s := range names {
		service, err := dnsmessage.NewName(s)
		if err != nil {
			return nil, err
		}
		node, err := dnsmessage.NewName(f.id.Short() + "." + s)
		if err != nil {
			return nil, err
		}
		h := dnsmessage.ResourceHeader{Name: service, Class: dnsmessage.ClassINET, TTL: mdnsTTL}
		if err := b.PTRResource(h, dnsmessage.PTRResource{PTR: node}); err != nil {
			return nil, err
		}
		h.Name = node
		if err := b.TXTResource(h, dnsmessage.TXTResource{TXT: text}); err != nil {
			return nil, err
		}
	}
	return b.Finish()
}

// parseMDNS says whether a packet asks for one of the services, and which nodes it tells of.
func parseMDNS(b []byte, names []string) (asked bool, found []foundNode) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil {
		return false, nil
	}
	for range mdnsRecords {
		q, err := p.Question()
		if err != nil {
			break
		}
		asked = asked || !h.Response && q.Type == dnsmessage.TypePTR && slices.Contains(names, strings.ToLower(q.Name.String()))
	}
	if p.SkipAllQuestions() != nil {
		return asked, nil
	}
	for range mdnsRecords {
		r, err := p.AnswerHeader()
		if err != nil {
			break
		}
		_, service, _ := strings.Cut(strings.ToLower(r.Name.String()), ".")
		if r.Type != dnsmessage.TypeTXT || !slices.Contains(names, service) {
			if p.SkipAnswer() != nil {
				break
			}
			continue
		}
		t, err := p.TXTResource()
		if err != nil {
			break
		}
		if f, ok := parseText(t.TXT); ok {
			found = append(found, f)
		}
	}
	return asked, found
}

// parseText reads the strings of an answer.
func parseText(l []string) (f foundNode, ok bool) {
	for _, s := range l {
		k, v, _ := strings.Cut(s, "=")
		switch k {
		case "id":
			f.id = id.Node(v)
		case "epoch":
			f.epoch, _ = strconv.ParseUint(v, 10, 64) // 0 is older than any
		case "a":
			if len(f.addrs) < member.MaxAddrs {
				f.addrs = append(f.addrs, v)
			}
		}
	}
	_, err := peer.Decode(string(f.id))
	return f, err == nil && len(f.addrs) > 0
}

// meetMDNS asks for other nodes, often at first, answers, and tells the view of what it hears.
func (h *Host) meetMDNS() {
	m := h.mdns
	ask, every := time.NewTimer(0), mdnsFirst
	defer ask.Stop()
	tell := time.NewTimer(rand.N(mdnsAnswer)) // unasked at first: those who are there learn of this node
	defer tell.Stop()
	told := time.Time{}
	for {
		var b []byte
		var err error
		select {
		case <-ask.C:
			b, err = question(*m.names.Load())
			ask.Reset(every + rand.N(every/4))
			every = min(2*every, mdnsMost)
		case <-tell.C:
			b, err = answer(*m.names.Load(), foundNode{h.id, h.epoch, h.addrs()})
			told = time.Now()
		case <-m.asked:
			if time.Since(told) > mdnsAnswer {
				tell.Reset(rand.N(mdnsAnswer))
			}
			continue
		case f := <-m.found:
			h.step(member.Learn{ID: f.id, Epoch: f.epoch, Addrs: f.addrs, Found: member.FoundMDNS})
			continue
		case <-h.ctx.Done():
			return
		}
		if err != nil {
			h.cfg.Logger.Warn("p2p: making a packet of multicast DNS", "err", err)
			continue
		}
		m.send(b)
	}
}
