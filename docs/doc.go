// Package docs has no code, only tests of the documentation: every piece of Go in README.md and docs
// stands in a program of the folder examples, those programs run as modules of their own, and what is
// said to be missing is what api says is missing.
package docs
