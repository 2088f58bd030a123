// Command walkthrough goes through docs/walkthrough.md: every piece of Go there is a part of this
// program, and a test compiles and runs it as a module of its own, outside of this one.
package main
