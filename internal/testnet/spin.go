package testnet

import (
	"fmt"
	"os/exec"
	"runtime"
	"time"
)

// Spin keeps every CPU busy with processes of the usual priority, until the function it gives is called; within
// bounds them should that not happen.
func Spin(within time.Duration) (stop func(), err error) {
	var all []*exec.Cmd
	stop = func() {
		for _, c := range all {
			c.Process.Kill()
			c.Wait()
		}
		all = nil
	}
	for range runtime.NumCPU() {
		c := exec.Command("sh", "-c", fmt.Sprintf("ulimit -t %d; while :; do :; done", int(within.Seconds())+1))
		c.SysProcAttr = Tied()
		if err := c.Start(); err != nil {
			stop()
			return nil, fmt.Errorf("testnet: starting a process that spins: %w", err)
		}
		all = append(all, c)
	}
	return stop, nil
}
