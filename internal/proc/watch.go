package proc

import (
	"time"

	"github.com/kadrehq/kadre/internal/wire"
)

const (
	// longWait is how long a task waits before anybody asks why.
	longWait = time.Second
	// watchEvery is how often waits are looked at while there are some of tasks.
	watchEvery = 500 * time.Millisecond
	// tellAgain is after how long the node is told once more of waits that it knows of: a cycle may have been closed
	// elsewhere.
	tellAgain = 2 * time.Second
)

// watch tells the node when tasks have waited for long, so that it looks whether they wait for each other. Where no
// task waits it sleeps.
func (p *Process) watch() {
	t := time.NewTimer(watchEvery)
	defer t.Stop()
	var told, last time.Time
	for {
		select {
		case <-p.ctx.Done():
			return
		case <-p.engine.AwaitWaits():
		}
		for {
			t.Reset(watchEvery)
			select {
			case <-p.ctx.Done():
				return
			case <-t.C:
			}
			n, newest := p.engine.Waiting(longWait)
			if n == 0 && p.engine.EndWatch() {
				break
			}
			if n > 0 && (newest.After(last) || time.Since(told) >= tellAgain) {
				last, told = newest, time.Now()
				p.notify(p.nodeAddr(), wire.KWaits, nil)
			}
		}
	}
}
