package proc

import (
	"cmp"
	"slices"
	"time"

	"github.com/kadrehq/kadre/objstore/arena"
)

// cpuSlice is by how much CPU time one process may be ahead of another that waits, where words cannot be halved.
const cpuSlice = 20 * time.Millisecond

// sharer is a process that has CPU words or wants one, with what is its fair share: each job that wants CPUs gets as
// many as any other, those that want few leave the rest to the others, and its processes share alike.
type sharer struct {
	arena.CPUUser
	fair  float64 // words
	crowd int     // processes of its job that have words or want one
}

// sharers gives all of them their fair shares of the words.
func sharers(dst []sharer, users []arena.CPUUser, words int) []sharer {
	dst = dst[:0]
	for _, u := range users {
		dst = append(dst, sharer{CPUUser: u})
	}
	slices.SortFunc(dst, func(a, b sharer) int { return cmp.Compare(a.Party, b.Party) })
	left, open := float64(words), 0
	for job := range jobs(dst) {
		open++
		for i := range job {
			job[i].crowd = len(job)
		}
	}
	for again := true; again && open > 0; { // who wants less than an equal share leaves more to the others
		again = false
		for job := range jobs(dst) {
			if has, all := demand(job); job[0].fair == 0 && all && has <= left/float64(open) {
				left, open, again = left-has, open-1, true
				for i := range job {
					job[i].fair = max(float64(job[i].Words), 1e-9)
				}
			}
		}
	}
	for job := range jobs(dst) {
		for i := range job {
			if job[i].fair == 0 {
				job[i].fair = left / float64(open*len(job))
			}
		}
	}
	return dst
}

// jobs gives the processes of one job after the other.
func jobs(all []sharer) func(yield func([]sharer) bool) {
	return func(yield func([]sharer) bool) {
		for len(all) > 0 {
			n := 1
			for n < len(all) && all[n].Party == all[0].Party {
				n++
			}
			if !yield(all[:n]) {
				return
			}
			all = all[n:]
		}
	}
}

// demand is how many words a job has, and whether it wants no more.
func demand(job []sharer) (has float64, all bool) {
	all = true
	for _, s := range job {
		has += float64(s.Words)
		all = all && !s.Wants
	}
	return has, all
}

// behind says that s has had clearly less than o.
func (s sharer) behind(o sharer) bool { return s.Used+uint64(cpuSlice) < o.Used }

// deserves says whether the next free word is s's rather than o's.
func (s sharer) deserves(o sharer) bool {
	short, other := float64(s.Words) < s.fair, float64(o.Words) < o.fair
	switch {
	case short != other:
		return short
	case s.behind(o) || o.behind(s):
		return s.behind(o)
	}
	return (s.Words+1)*s.crowd < (o.Words+1)*o.crowd
}

// owes says whether s is to give o a word. Where it has not a whole one too many they take turns.
func (s sharer) owes(o sharer) bool {
	more := float64(s.Words) - s.fair
	return more > 0 && float64(o.Words) < o.fair && (more >= 1 || o.behind(s))
}
