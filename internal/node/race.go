//go:build race

package node

// raceBuild: the race detector maps several times what a program takes, so that no bound on that says anything.
const raceBuild = true
