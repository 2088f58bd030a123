// Package p2p is a node's place in the network: who is there, frames and bulk data between nodes, and the
// directory. It is the only home of libp2p.
//
// Nouns: a [Host] is one node; a [Member] is another as the host sees it; an epoch is one start of a node,
// higher than all before it; a control lane carries small frames, one lane a peer, both ways; a bulk lane
// carries one request and its data at a time; the [Directory] keeps records on the nodes that Kademlia's
// lookup finds closest to their keys. There is one listening port: TLS connections become lanes, the others
// go to libp2p. Nodes of one runtime folder, machine and network namespace use a unix socket beside their peer
// files instead, for both kinds of lane; a node that nobody can dial is reached over libp2p streams through
// relays, which all nodes are for each other (relay.go). Every connection proves the cluster's token, or without one the user's secret (then only
// loopback is listened on); see package admit. The token's file is read again when it changes, and members prove the new one on lanes
// that take the place of the old ones (rotate.go).
//
// Nodes find each other by Join (a name stands for all its addresses), through the runtime folder of one user and
// network namespace, by multicast DNS, from earlier starts (peers.json), by their records in the directory (coarse.go), and by what members tell of members; see package member for the view and its verdicts (SWIM). A node's descriptor is pulled by
// those who hear that it has changed; its load travels with the gossip. A verdict cuts the lanes,
// fails what waits, and takes the node out of Kademlia's table; an Up puts it in. A node's frames under an
// old epoch are refused with the connection that carries them.
//
// Kademlia asks its questions over the control lanes (kadnet.go), and a lookup ends when the closest nodes have
// answered (lookup.go).
//
// All methods may be called by anyone. Frames of one sender to one receiver come in order and once, whatever
// becomes of lanes, from the Up to the Down of the member; a Down on either side, which the other sees as well
// before they meet again, ends the bond ([lane.Bond]) and with it the frames on the way. Between different
// peers, and between frames and events, there is no order.
//
// It does not: repeat the directory's requests when a lane breaks (their askers do).
//
// Locks: Host.mu, under which the view steps, comes before those of a bond and of the waiting
// requests, which are leaves. Nothing done under Host.mu waits for the network; no callback runs under it.
// The directory's locks are leaves of their own.
//
// Rejected: kad-dht's provider.SweepingProvider for coarse records (it is for many thousands of keys of one node, which
// has a handful here; it brings three modules more; what it stores can be neither deleted nor told from a dead node's
// before it expires); Kademlia's own streams (a connection more for each pair of members; questions to one node wait for each
// other, the slowest for 10 s; no bound for each peer); libp2p streams for traffic (half of TLS's throughput, 3 to 4 times its round trip);
// libp2p's mDNS (it needs a module more, and answers strangers); one lock per peer (the view is small and its steps are short).
package p2p
