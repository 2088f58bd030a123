// Package demo is the show of kadre demo: three nodes on this machine, the walkthrough, a word count over
// real text, and the same count while a node is killed.
//
// The nouns: a cluster is the three nodes, child processes with a private runtime folder; the progress actor knows
// which node runs what. The words are counted by internal/words.
//
// Everything runs on the caller's goroutine; what is parallel is parallel by the api it shows. Run
// removes all that it made, also when it fails or its context ends. The package holds no lock.
package demo
