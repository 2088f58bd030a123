package demo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestSweep(t *testing.T) {
	gone := exec.Command("true")
	if err := gone.Run(); err != nil {
		t.Fatal(err)
	}
	temp := t.TempDir()
	dead := filepath.Join(temp, fmt.Sprintf("%s%d-1", folderName, gone.Process.Pid))
	alive := filepath.Join(temp, fmt.Sprintf("%s%d-1", folderName, os.Getpid()))
	other := filepath.Join(temp, folderName+"notes")
	for _, d := range []string{dead, alive, other} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	sweep(temp)
	for d, want := range map[string]bool{dead: false, alive: true, other: true} {
		if _, err := os.Stat(d); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", filepath.Base(d), err, want)
		}
	}
}
