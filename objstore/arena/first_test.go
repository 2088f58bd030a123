package arena

import (
	"sync"
	"testing"
)

// TestFirstCreators has clients create the first objects of an arena at once: whoever finds that another one has just got
// all the pages there are looks again.
func TestFirstCreators(t *testing.T) {
	for range 60 {
		c := newArena(t, Config{Size: 4 << 20, Entries: 100}, 1, 2, 40)
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i, a := range c.all() {
			wg.Go(func() {
				<-start
				if err := put(a, i, []int64{100, 100 << 10}[i%2]); err != nil {
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		c.DeleteJob(testJob)
	}
}
