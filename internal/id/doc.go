// Package id holds the names of things: nodes, processes, jobs, tasks, objects and actors.
//
// A [Node] is a libp2p peer ID in text. A [Proc] is one start of one process attached to a node; 0 means
// the node itself. An [Addr] joins the two and is where a message goes. A [Task] starts with the Proc
// that submitted it, so that IDs need no coordination; an [Object] is a task and the index of one of
// its results (a Put takes a task number of its own).
//
// All types are comparable values; there is nothing to lock. The package knows no network and no clock.
package id
