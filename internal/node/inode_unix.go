//go:build unix

package node

import (
	"io/fs"
	"syscall"
)

// inode is the number of a file in its file system.
func inode(i fs.FileInfo) uint64 {
	if s, ok := i.Sys().(*syscall.Stat_t); ok {
		return uint64(s.Ino)
	}
	return 0
}
