package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kadrehq/kadre/internal/node"
	"github.com/kadrehq/kadre/p2p"
)

// advice says what to do about each kind of trouble with a node.
var advice = map[string]string{
	p2p.TroubleToken:   "give both the same --token-file, or none to both as the same user on one machine",
	p2p.TroubleCluster: "give both the same --cluster",
	p2p.TroubleVersion: "update the older of the two",
	p2p.TroubleDenied:  "take it off the list that --deny-file names, if it should be let in",
	p2p.TroubleOver:    "two nodes run under one key: give each a --state-dir of its own",
	p2p.TroublePeer:    "another node has that address now; the one that was meant is gone or has moved",
	p2p.TroubleRefused: "nothing listens there: is the node running, and is the port right?",
	p2p.TroubleRoute:   "this machine knows no way there: look at its routes and at the address",
	p2p.TroubleName:    "the name has no address: is it spelled right?",
	p2p.TroubleSilent:  "no answer at all: the machine is off, or a packet filter drops what is sent to it",
	p2p.TroubleSlow:    "somebody listens and does not finish the handshake: is it a node, is it stopped, or too busy?",
	p2p.TroubleOther:   "see what it said, and 'kadre status --events' there",
}

// reach has the flags of looking whether a node can be joined.
type reach struct{ join, tokenFile string }

// examineJoin tries an address as a node that joins would, up to where it would become a member.
func examineJoin(ctx context.Context, cluster string, r reach) []finding {
	if r.join == "" {
		return nil
	}
	f := finding{Check: "joining " + r.join}
	cfg := p2p.Config{Cluster: cluster, TokenFile: r.tokenFile}
	if r.tokenFile == "" {
		dir, err := node.RuntimeDir(cluster)
		if err != nil {
			f.Found = err.Error()
			return []finding{f}
		}
		cfg.RuntimeDir = dir
	}
	begin := time.Now()
	who, kind, err := p2p.Try(ctx, cfg, r.join)
	if err != nil {
		f.Found, f.Advice = kind+": "+err.Error(), advice[kind]
		return []finding{f}
	}
	f.OK, f.Found = true, fmt.Sprintf("node %s lets holders of this secret in (%v)", who, time.Since(begin).Round(time.Millisecond))
	return []finding{f}
}

// examinePeers tells which nodes the running node does not reach, and why.
func examinePeers(s node.Status) []finding {
	found := []finding{{Check: "other nodes", OK: true, Found: fmt.Sprintf("%d members beside this one", max(0, len(s.Members)-1))}}
	for _, t := range s.Troubles {
		who := t.Addr
		if t.Peer != "" {
			who = t.Peer.Short() + " at " + t.Addr
		}
		if t.In {
			who = "who came from " + t.Addr
		}
		found = append(found, finding{Check: "not reached", OK: true, Advice: advice[t.Kind],
			Found: fmt.Sprintf("%s: %s, %d times, last %v ago (%s)", who, t.Kind, t.Times, time.Since(t.Last).Round(time.Second), t.Why)})
	}
	for _, d := range s.Disputed {
		found = append(found, finding{Check: "disputed", OK: true, Advice: "the way between two machines is broken, or has just come back",
			Found: fmt.Sprintf("%s is %s to this node, and the others have it as %q", d.ID.Short(), d.State, d.Said)})
	}
	return found
}
