// Command training shares few GPUs among many runs: each takes one while it runs, an urgent evaluation goes before those that
// wait, and at the end two workers that need a GPU each at the same time get both together, or none. GPUs are a resource that
// nodes were given; here the node inside the program has two, which nobody looks into:
//
//	go run ./examples/training [-runs 8]
//
// On a cluster whose nodes were started with --resources gpu=2 or the like:
//
//	go run ./examples/training -cluster
package main
