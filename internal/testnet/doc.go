// Package testnet runs a cluster of real nodes on one machine: processes of the command kadre, each in a network
// namespace of its own on one bridge, with a cluster token. It is what chaos plans and benchmarks of many nodes
// stand on; package internal/testbed takes its namespaces from here.
//
// The nouns. A [Bridge] is the namespaces and the links between them; a [Net] is a bridge with nodes on it and a
// folder below /tmp for all that they write; a [Node] is a process that runs `kadre start`. A node takes orders
// ([Order]) as lines of JSON on its standard input and answers each with one line; [Serve] is the node's side of
// that, which `kadre start` runs when [Asked].
//
// What breaks: [Node.Kill] is kill -9; [Net.Silence] drops every packet of some nodes, so that nobody is told of
// their deaths; [Net.Divide] drops what would go between two groups, until [Net.Heal]; [Spin] keeps CPUs busy.
//
// Nothing is left behind. Close ends all processes, waits for them and removes links, namespaces and files; the
// kernel ends the processes when who started them dies; and namespaces and folders that a killed run left are
// removed by the next, by the process number in their names.
//
// Concurrency: a Net belongs to one goroutine, but different nodes may be asked at the same time.
//
// Rejected: nodes as goroutines on a simulated network (that is internal/sim: no sockets, no kernel queues, no
// memory of their own); nodes of many loopback addresses (no packet filter between them, one connection
// limit); docker.
package testnet
