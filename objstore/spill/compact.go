package spill

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/kadrehq/kadre/internal/id"
)

// Small objects share files, and a file stays as long as one of its records is needed. So that a few that live long do
// not keep the room of many that are gone, Compact writes the former anew, together, when what is dead takes more room
// than what lives and is worth the work.

const (
	compactAbove = 64 << 20 // bytes of dead records that are left alone whatever lives
	compactSize  = 4 << 20  // bytes of live records that are written into one file, about

	spareShare = 50       // a file system keeps one part in so many free for others
	spareMost  = 64 << 20 // but not more than so many bytes
)

// Sparse says whether Compact would do something.
func (d *Dir) Sparse() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.sparseLocked() && len(d.sparsestLocked(0)) > 0
}

func (d *Dir) sparseLocked() bool { return d.dead > max(d.above, d.disk-d.dead) }

// Compact gives the room of dead records back, until they take less than live ones, and says how many files it
// emptied. It is for one caller at a time. Records that cannot be read stay where they are.
func (d *Dir) Compact() (emptied int, err error) {
	for d.Sparse() {
		from, objs, was := d.gather()
		err := d.store(objs, func(o Object) bool { return d.recs[o.ID] == was[o.ID] })
		if err != nil {
			return emptied, fmt.Errorf("spill: compacting: %w", err)
		}
		emptied += from
	}
	return emptied, nil
}

// gather reads what lives in the sparsest files, enough for a file.
func (d *Dir) gather() (from int, objs []Object, was map[id.Object]record) {
	d.mu.Lock()
	in := d.sparsestLocked(compactSize)
	was = map[id.Object]record{}
	for o, r := range d.recs {
		if in[r.f] {
			was[o] = r
		}
	}
	d.mu.Unlock()
	for _, r := range was {
		o := Object{r.Info, make([]byte, r.Size)}
		switch err := d.Read(r.Info, o.Data); {
		case err == nil:
			objs = append(objs, o)
		case !errors.Is(err, ErrNotFound): // else it was dropped
			d.mu.Lock()
			r.f.stuck = true
			d.mu.Unlock()
		}
	}
	return len(in), objs, was
}

// sparsestLocked are the files with the largest dead parts, of those that have one, up to so many live bytes of them.
func (d *Dir) sparsestLocked(most int64) map[*file]bool {
	var fs []*file
	for f := range d.files {
		if f.dead > 0 && !f.stuck {
			fs = append(fs, f)
		}
	}
	slices.SortFunc(fs, func(a, b *file) int { return cmp.Compare(b.dead*a.size, a.dead*b.size) })
	in := map[*file]bool{}
	for _, f := range fs {
		if most -= f.size - f.dead; most < 0 && len(in) > 0 {
			break
		}
		in[f] = true
	}
	return in
}

// spare refuses to write what would fill the file system: others need it too.
func (d *Dir) spare(size int64) error {
	var st syscall.Statfs_t
	if err := syscall.Statfs(d.path, &st); err != nil {
		return nil // then writing shows it
	}
	total, free := int64(st.Blocks)*int64(st.Bsize), int64(st.Bavail)*int64(st.Bsize)
	if keep := min(total/spareShare, spareMost); total > 0 && free-size < keep {
		return fmt.Errorf("%s has %d bytes left of %d, of which %d are kept free for others: %w", d.path, free, total, keep, syscall.ENOSPC)
	}
	return nil
}
