package arena

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// Processes of the tests are this binary again, with what to be in the environment.
const roleEnv = "KADRE_ARENA_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		// A parent that is killed with -9 takes its children along: some of them never end by themselves.
		if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil || os.Getppid() == 1 {
			fail(fmt.Errorf("no parent: %v", err))
		}
		roles[role]()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
