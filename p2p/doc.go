// Package p2p is being built.
package p2p
