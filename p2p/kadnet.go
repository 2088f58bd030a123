package p2p

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/id"
	pb "github.com/libp2p/go-libp2p-kad-dht/pb"
	kb "github.com/libp2p/go-libp2p-kbucket"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"
)

// Kademlia's messages go where the directory's requests go: over the control lane to a member, else over a libp2p
// stream of the directory's protocol. So a lookup opens no connections among members, one slow answer holds up no
// other question to the same node, and the bounds on what one peer may ask hold for Kademlia too: nothing is served
// on the streams of Kademlia's own protocol, which is only advertised.
const (
	tagKademlia = 0x4b // first byte of such a request; the directory's are below
	maxKeyBytes = 128
	kadFor      = time.Second            // one question; the lookup goes on with others meanwhile
	kadDoubtful = 200 * time.Millisecond // the same to a node that is suspected, or that there is no lane to
	kadAddrs    = 32                     // addresses of one node in an answer
)

var errKademlia = errors.New("p2p: malformed Kademlia message")

// kadHost is the libp2p host as the DHT sees it: a node that there is a lane to counts as connected.
type kadHost struct {
	host.Host
	k *kademlia
}

func (h kadHost) Network() network.Network { return kadNetwork{h.Host.Network(), h.k} }

// Connect dials where there is no lane.
func (h kadHost) Connect(ctx context.Context, ai peer.AddrInfo) error {
	if h.k.hasLane(ai.ID) {
		return nil
	}
	dial, cancel := context.WithTimeout(ctx, kadFor)
	defer cancel()
	err := h.Host.Connect(dial, ai)
	if l := lookupOf(ctx); l != nil && err != nil {
		l.failed(ai.ID)
	}
	return err
}

// SetStreamHandler advertises Kademlia's protocol, and serves nothing on it.
func (h kadHost) SetStreamHandler(p protocol.ID, _ network.StreamHandler) {
	h.Host.SetStreamHandler(p, func(s network.Stream) { s.Reset() })
}

type kadNetwork struct {
	network.Network
	k *kademlia
}

func (n kadNetwork) Connectedness(p peer.ID) network.Connectedness {
	if n.k.hasLane(p) {
		return network.Connected
	}
	return n.Network.Connectedness(p)
}

func (k *kademlia) hasLane(p peer.ID) bool { _, ok := k.laned.Load(p); return ok }

// messenger sends the DHT's requests, and tells the lookup that they belong to what came of them.
type messenger struct{ k *kademlia }

func (m messenger) SendRequest(ctx context.Context, p peer.ID, req *pb.Message) (*pb.Message, error) {
	a, err := m.ask(ctx, p, req)
	if l := lookupOf(ctx); l != nil && req.GetType() == pb.Message_FIND_NODE {
		if err != nil {
			l.failed(p)
		} else {
			l.answered(p, a.GetCloserPeers())
		}
	}
	return a, err
}

func (m messenger) ask(ctx context.Context, p peer.ID, req *pb.Message) (*pb.Message, error) {
	b, err := proto.MarshalOptions{}.MarshalAppend([]byte{tagKademlia}, req)
	if err != nil {
		return nil, fmt.Errorf("p2p: Kademlia: %w", err)
	}
	within := kadFor
	if m.k.isDoubtful(p) || !m.k.hasLane(p) {
		within = kadDoubtful
	}
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	ans, err := m.k.call(ctx, id.Node(p.String()), b)
	if err != nil {
		return nil, err
	}
	a := new(pb.Message)
	if len(ans) == 0 || ans[0] != tagKademlia || proto.Unmarshal(ans[1:], a) != nil {
		return nil, fmt.Errorf("%w from %s", errKademlia, p)
	}
	return a, nil
}

// SendMessage is for provider records, which there are none of.
func (m messenger) SendMessage(context.Context, peer.ID, *pb.Message) error {
	return errors.New("p2p: Kademlia has no messages without answers here")
}

// OnDisconnect has nothing to do: nothing is kept for a peer.
func (m messenger) OnDisconnect(context.Context, peer.ID) {}

// serve answers a Kademlia request: the nodes of the table closest to a key, or a ping. It does not block.
func (k *kademlia) serve(from id.Node, b []byte) ([]byte, error) {
	asker, err := peer.Decode(string(from))
	req := new(pb.Message)
	if err != nil || len(b) > maxStream || proto.Unmarshal(b, req) != nil || len(req.GetKey()) > maxKeyBytes {
		return nil, errKademlia
	}
	ans := pb.NewMessage(req.GetType(), nil, 0)
	switch {
	case req.GetType() == pb.Message_PING:
	case req.GetType() == pb.Message_FIND_NODE && len(req.GetKey()) > 0:
		ans.CloserPeers = pb.PeerInfosToPBPeers(k.dht.Host().Network(), k.near(string(req.GetKey()), asker))
	default:
		return nil, errKademlia
	}
	return proto.MarshalOptions{}.MarshalAppend([]byte{tagKademlia}, ans)
}

// near are the nodes of the table closest to a key, for somebody who asks.
func (k *kademlia) near(key string, asker peer.ID) (l []peer.AddrInfo) {
	for _, p := range k.dht.RoutingTable().NearestPeers(kb.ConvertKey(key), bucketSize+1) {
		if p == asker || len(l) == bucketSize {
			continue
		}
		if ai := (peer.AddrInfo{ID: p, Addrs: k.host.Peerstore().Addrs(p)}); len(ai.Addrs) > 0 {
			ai.Addrs = ai.Addrs[:min(len(ai.Addrs), kadAddrs)]
			l = append(l, ai)
		}
	}
	return l
}

var _ pb.MessageSenderWithDisconnect = messenger{}
