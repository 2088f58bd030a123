package api_test

import (
	"os"
	"os/exec"
	"testing"
)

// TestUnderIsolation runs tests of this package once more with KADRE_ISOLATE=1: what a program sees is the same where all of
// its tasks run in a worker process. All tests but those that hereOnly skips pass like that; these are the fast ones.
func TestUnderIsolation(t *testing.T) {
	if testing.Short() || isolated {
		t.Skip("starts many worker processes")
	}
	const which = "^Test(Map.*|Bind.*|Reduce.*|All|GetAll|Wait|Completed|Remote.*|Refs.*|Tasks.*|Args.*|Arguments.*|Cancel.*|Actor.*|Calls.*|Kill.*|Later.*|Every.*|Helper.*)$"
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", which, "-test.timeout", "2m")
	cmd.Env = append(os.Environ(), "KADRE_ISOLATE=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("KADRE_ISOLATE=1 go test ./api: %v\n%s", err, out)
	}
}
