package arena

import (
	"encoding/binary"
	"testing"

	"github.com/kadrehq/kadre/internal/shm"
)

// FuzzSuper opens files that begin with any superblock, its checksum put right: the numbers are refused, or
// they make an arena of the file's size.
func FuzzSuper(f *testing.F) {
	f.Add(uint64(100), uint64(16), uint64(4), uint64(1), uint64(0))
	f.Add(uint64(1<<40), uint64(1<<50), uint64(1<<60), uint64(99), uint64(1))
	f.Add(uint64(0), uint64(0), uint64(0), uint64(0), uint64(0))
	const size = 4 << 20
	fd, _, err := shm.CreateFile(size, shm.KindMemfd, "")
	if err != nil {
		f.Fatal(err)
	}
	defer shm.CloseFD(fd)
	head, err := shm.MapRW(fd, 0, pageSize)
	if err != nil {
		f.Fatal(err)
	}
	defer shm.Unmap(head)
	f.Fuzz(func(t *testing.T, entries, granules, clients, kind, spoil uint64) {
		s := super{magic: magic, version: version, entries: entries, granules: granules, clients: clients, kind: kind}
		for i, v := range []uint64{magic, version, entries, granules, clients, kind, s.checksum(size) ^ spoil} {
			binary.NativeEndian.PutUint64(head[8*i:], v)
		}
		if g, _, err := readSuper(fd); err == nil && (g.size != size || spoil != 0) {
			t.Fatalf("took %+v", g)
		}
	})
}
