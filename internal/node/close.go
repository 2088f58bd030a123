package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/kadrehq/kadre/internal/invariant"
	"github.com/kadrehq/kadre/internal/wire"
)

// Close ends the node: its workers are killed, attached drivers are told, peers see it leave. It returns when
// nothing is left behind. The order:
//
//  1. Nobody attaches any more, nothing is placed, stolen or granted; goroutines that only work for the
//     node (ticker, listener, metrics, transfers) end. What arrives from now on is dropped.
//  2. Processes are told Bye; workers are killed and waited for, drivers are detached.
//  3. The network says goodbye and closes, so that nothing is delivered any more.
//  4. Requests that still wait fail; the poll goroutine ends.
//  5. The store ends. With KADRE_CHECK=empty, and where assertions are compiled in: nothing may be left in it.
//  6. Links and arena are unmapped.
//  7. Socket, record, temporary folders and, last of all, the locks go.
func (n *Node) Close() error {
	n.closing.Do(func() {
		defer close(n.closed)
		n.mu.Lock()
		n.stopped = true
		if !n.draining {
			close(n.done)
		}
		n.draining = true
		n.mu.Unlock()
		n.cancel()
		n.steal.stop()
		n.closeErr = n.shut()
		n.log.Info("node: closed", "node", n.id.Short())
	})
	<-n.closed
	return n.closeErr
}

// shut is Close from its first step on; it copes with a node of which only parts were opened.
func (n *Node) shut() error {
	var errs []error
	if n.ln != nil {
		n.ln.Close() // removes the socket
	}
	n.metrics.close()
	n.detachAll()
	n.gate.Lock()
	n.shutting = true
	n.gate.Unlock()
	n.wg.Wait()
	if n.spawner != nil {
		n.spawner.stop()
	}
	n.leaveNames()
	if n.host != nil {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		errs = append(errs, ignoreTimeout(n.host.Leave(ctx)), n.host.Close())
		cancel()
	}
	n.calls.Close(&wire.ErrorRecord{Class: wire.ErrorClosed, Text: "node: the node has closed", Node: n.id})
	n.pollStop.Store(true)
	if n.arena != nil {
		n.arena.Ring(n.arena.Client())
	}
	n.polling.Wait()
	if n.store != nil {
		files := n.store.Spilled().Objects // Close removes them
		errs = append(errs, n.store.Close())
		if invariant.Enabled || strings.Contains(os.Getenv("KADRE_CHECK"), "empty") {
			err := n.checkEmpty(files)
			invariant.Check(err == nil, "%v", err)
			errs = append(errs, err)
		}
	}
	if n.arena != nil {
		errs = append(errs, n.arena.Close())
	}
	n.removeTraces()
	return errors.Join(errs...)
}

// checkEmpty looks at the arena when all that used it has ended. A process that did not detach in time keeps what it
// holds, and jobs that live on elsewhere have objects here. Files is how many objects were spilled.
func (n *Node) checkEmpty(files int) error {
	n.sweepJobs()
	u := n.arena.Audit()
	if err := u.Check(); err != nil {
		return fmt.Errorf("node: the store is broken in the end: %w\n%v", err, u)
	}
	if len(u.Clients) > 0 {
		return nil
	}
	if len(u.Holders)+u.Stale+u.Closing+u.Waits+u.Creating+u.Doomed+u.Evicting > 0 {
		return fmt.Errorf("node: no process is left and something holds objects:\n%v", u)
	}
	n.mu.Lock()
	jobs := len(n.jobs)
	n.mu.Unlock()
	if jobs == 0 && (!u.Empty() || files > 0) {
		return fmt.Errorf("node: no job is left but objects are, and %d in files:\n%v", files, u)
	}
	return nil
}

// leaveTime bounds saying goodbye to peers.
const leaveTime = 2 * time.Second

func ignoreTimeout(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// removeTraces removes what the node has on disk beyond its state, the locks last.
func (n *Node) removeTraces() {
	if n.lock != nil {
		if r, err := readRecord(n.dir, n.short); err == nil && r.PID == os.Getpid() {
			r.remove()
		}
		removeFiles(n.dir, n.short)
		n.lock.Close()
	}
	if n.stateLock != nil {
		n.stateLock.Close()
	}
}

// abandon undoes a Start that failed.
func (n *Node) abandon() {
	n.closing.Do(func() {
		n.mu.Lock()
		n.stopped = true
		n.mu.Unlock()
		close(n.done)
		n.cancel()
		select {
		case <-n.ready:
		default:
			close(n.ready)
		}
		n.closeErr = n.shut()
		close(n.closed)
	})
}
