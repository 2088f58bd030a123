package arena

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// Processes of the tests are this binary again, with what to be in the environment.
const roleEnv = "KADRE_ARENA_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleEnv); role != "" {
		roles[role]()
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}
