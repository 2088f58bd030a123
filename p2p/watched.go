package p2p

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// lookEvery is how often files that may change while the node runs are looked at.
const lookEvery = time.Second

// watched is a file that is to be read again when it has changed. It belongs to one goroutine.
type watched struct {
	path string
	read string // what the file was like when it was read
	seen string // and at the last look
	said string // the last failure, which is told once
}

func watch(path string) watched {
	now := stateOf(path)
	return watched{path: path, read: now, seen: now}
}

// changed says that the file is another one than was read, and has stayed so since the last look: who writes it may not
// have come to the end.
func (w *watched) changed() bool {
	now := stateOf(w.path)
	settled := now == w.seen
	w.seen = now
	return settled && now != w.read
}

// done notes what came of reading it; new says that this failure was not told yet.
func (w *watched) done(err error) (news bool) {
	if err == nil {
		w.read, w.said = w.seen, ""
		return false
	}
	news = err.Error() != w.said
	w.said = err.Error()
	return news
}

// stateOf names what a file is like, and whose it is.
func stateOf(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	s := fmt.Sprint(st.Size(), st.ModTime().UnixNano(), st.Mode())
	if sys, ok := st.Sys().(*syscall.Stat_t); ok {
		s += fmt.Sprint(" ", sys.Dev, " ", sys.Ino)
	}
	return s
}
