package bench

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/kadrehq/kadre/api"
)

// firstAnswer is what such a process prints.
const firstAnswer = "49"

// firstLimit bounds the life of such a process.
const firstLimit = 20 * time.Second

func firstResult() Scenario {
	return Scenario{
		Bench: "walk", Name: "first-result", Unit: milliseconds, Better: Lower, N: 1, Samples: 20,
		Work: "starts this executable anew, which starts an embedded node, runs one task, gets its result and prints it; " +
			"from before the start until the line has been read; a sample is one start",
		Setup: func(context.Context) (*Run, error) {
			exe, err := os.Executable()
			if err != nil {
				return nil, err
			}
			return &Run{Ours: func(ctx context.Context, n int) (float64, error) { return startProcess(ctx, exe) }}, nil
		},
	}
}

func startProcess(ctx context.Context, exe string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, firstLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), roleEnv+"=first")
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	line, _ := bufio.NewReader(out).ReadString('\n') // what failed, Wait and the answer tell
	took := time.Since(begin)
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("%w: %s", err, stderr.String())
	}
	if line != firstAnswer+"\n" {
		return 0, fmt.Errorf("the process printed %q, not %s", line, firstAnswer)
	}
	return perOp(took, 1, milliseconds), nil
}

// firstTask is what the process of row first-result does.
func firstTask() error {
	ctx := context.Background()
	rt, err := api.Init(ctx, api.Embedded())
	if err != nil {
		return err
	}
	v, err := square.Remote(ctx, 7).Get(ctx)
	if err != nil {
		return err
	}
	fmt.Println(v)
	return rt.Close()
}
