// Package words counts words: it is the work of kadre demo and of the row wordcount of kadre bench.
//
// The nouns: a [Corpus] is the text, files in groups, of which a map task counts one; a [Table] is how often words
// occur, sorted and in one run of bytes. [Count] is what a map task does with its text, and what the sequential count
// does with all of it; [Merge] is an inner node of the tree that adds the tables up.
//
// Functions of different goroutines do not meet: nothing is shared and there is no lock. It runs no task itself.
package words
