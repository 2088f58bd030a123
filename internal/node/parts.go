package node

import (
	"github.com/kadrehq/kadre/objstore"
	"github.com/kadrehq/kadre/objstore/arena"
	"github.com/kadrehq/kadre/p2p"
)

// The parts of a running node, for benchmarks and drills that work on one alone.

// Store is the node's side of the objects of the cluster.
func (n *Node) Store() *objstore.Store { return n.store }

// Arena is the memory of the node's objects.
func (n *Node) Arena() *arena.Arena { return n.arena }

// Directory keeps records on the nodes closest to their keys; nil in a private node.
func (n *Node) Directory() *p2p.Directory {
	if n.host == nil {
		return nil
	}
	return n.host.Directory()
}

// Members are the living nodes as this one sees them, itself first; none in a private node.
func (n *Node) Members() []p2p.Member {
	if n.host == nil {
		return nil
	}
	return n.host.Members()
}
