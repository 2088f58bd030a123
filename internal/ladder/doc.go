// Package ladder has no code, only the tests of the tree's shape: which package may import which, who
// may know libp2p, unsafe and cgo, what the pure protocol cores must do without, and that every package
// says in doc.go what it is for.
//
// When such a test fails, the code moves; the table in ladder_test.go does not.
package ladder
