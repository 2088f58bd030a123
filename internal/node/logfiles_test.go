package node

import (
	"os"
	"path/filepath"
	"testing"
)

// TestReadLog follows a log over a rotation, and over two.
func TestReadLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rotate := func() {
		t.Helper()
		if err := os.Rename(path, path+".1"); err != nil {
			t.Fatal(err)
		}
	}
	at := &LogPart{}
	read := func(want string, more, jumps bool) {
		t.Helper()
		p, err := readLog(path, at.File, at.Next)
		if err != nil || string(p.Data) != want || p.More != more || p.Jumps != jumps {
			t.Fatalf("%+v (%s), %v; want %q", p, p.Data, err, want)
		}
		at = p
	}
	write("one two")
	at.Next = 3
	read("two", false, false) // the last three bytes
	read("", false, false)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(" three")
	f.Close()
	rotate()
	write("four")
	read(" three", true, false) // what was left in the old one
	read("four", false, false)
	rotate()
	write("five")
	rotate()
	write("six")
	read("six", false, true) // that of four is gone
	if _, err := readLog(path+"x", 0, 1); err == nil {
		t.Error("a log that is not there gives no error")
	}
}
