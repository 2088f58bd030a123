// Package examples holds programs to start from, a folder each; docs/examples.md goes through them. Its test
// builds and runs all of them.
package examples
