package spill

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/kadrehq/kadre/internal/id"
)

// MaxRecords bounds the objects in a folder, and with it the memory of its index.
const MaxRecords = 1 << 20

// Errors of a Dir besides ErrCorrupt. They are wrapped with the object or the folder.
var (
	ErrNotFound = errors.New("spill: no such record")
	ErrTooMany  = fmt.Errorf("spill: %d objects are spilled already", MaxRecords)
	ErrClosed   = errors.New("spill: closed")
)

// file is some records; guarded by Dir.mu, but for its name.
type file struct {
	name  string
	live  int   // records
	size  int64 // bytes
	dead  int64 // bytes of records that are gone
	stuck bool  // one of its records cannot be read
}

// record is where an object is.
type record struct {
	Info
	f    *file
	at   int64
	refs bool // the value holds references
}

// Dir is a folder of spilled objects. A nil one is empty.
type Dir struct {
	path  string
	above int64 // compactAbove, less in tests

	mu     sync.Mutex
	closed bool
	recs   map[id.Object]record
	names  uint64
	files  map[*file]struct{}
	bytes  int64 // of objects
	disk   int64 // bytes of files
	dead   int64 // bytes of records that are gone, in files that are not
}

// NewDir gives a folder that is made when it is first needed, and is nobody else's.
func NewDir(path string) *Dir {
	return &Dir{path: path, above: compactAbove, recs: map[id.Object]record{}, files: map[*file]struct{}{}}
}

// Find says which attempt of an object is in the folder.
func (d *Dir) Find(o id.Object) (Info, bool) {
	if d == nil {
		return Info{}, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	r, ok := d.recs[o]
	return r.Info, ok
}

// Drop forgets an object, and says whether it was there.
func (d *Dir) Drop(o id.Object) bool {
	return d.dropIf(func(r record) bool { return r.ID == o }, o) > 0
}

// DropAttempt is Drop for one attempt only.
func (d *Dir) DropAttempt(o id.Object, attempt uint32) bool {
	return d.dropIf(func(r record) bool { return r.Attempt == attempt }, o) > 0
}

// DropJob forgets the objects of a job and says how many there were.
func (d *Dir) DropJob(job id.Job) int {
	if d == nil {
		return 0
	}
	d.mu.Lock()
	var ids []id.Object
	for o, r := range d.recs {
		if r.Job == job {
			ids = append(ids, o)
		}
	}
	d.mu.Unlock()
	return d.dropIf(func(r record) bool { return r.Job == job }, ids...)
}

// dropIf forgets those of the objects whose records match.
func (d *Dir) dropIf(match func(record) bool, ids ...id.Object) (n int) {
	if d == nil {
		return 0
	}
	var gone []string
	d.mu.Lock()
	for _, o := range ids {
		if r, ok := d.recs[o]; ok && match(r) {
			n++
			gone = d.dropLocked(r, gone)
		}
	}
	d.mu.Unlock()
	d.remove(gone)
	return n
}

// dropLocked takes a record out of the index; a file that goes with it is added to gone.
func (d *Dir) dropLocked(r record, gone []string) []string {
	delete(d.recs, r.ID)
	d.bytes -= r.Size
	return d.deadLocked(r.f, r.bytes(), gone)
}

// deadLocked takes a record out of its file.
func (d *Dir) deadLocked(f *file, bytes int64, gone []string) []string {
	f.live--
	f.dead += bytes
	d.dead += bytes
	if f.live == 0 {
		delete(d.files, f)
		d.disk -= f.size
		d.dead -= f.dead
		gone = append(gone, f.name)
	}
	return gone
}

func (d *Dir) remove(names []string) {
	for _, n := range names {
		os.Remove(filepath.Join(d.path, n)) // what stays goes with the folder
	}
}

// List gives up to most objects in the order of their IDs, those after one of them; with the zero ID from the first.
func (d *Dir) List(after id.Object, most int) (is []Info) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	for o, r := range d.recs {
		if after.IsZero() || bytes.Compare(o[:], after[:]) > 0 {
			is = append(is, r.Info)
		}
	}
	d.mu.Unlock()
	slices.SortFunc(is, func(a, b Info) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	return is[:min(len(is), most)]
}

// All gives all objects, in no order.
func (d *Dir) All() []Info {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	is := make([]Info, 0, len(d.recs))
	for _, r := range d.recs {
		is = append(is, r.Info)
	}
	return is
}

// WithRefs gives all objects whose values hold references, in no order.
func (d *Dir) WithRefs() (is []Info) {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.recs {
		if r.refs {
			is = append(is, r.Info)
		}
	}
	return is
}

// Stats counts what is in a folder.
type Stats struct {
	Objects int
	Files   int
	Bytes   int64 // of objects
	Disk    int64 // bytes of files
}

// Stats counts.
func (d *Dir) Stats() Stats {
	if d == nil {
		return Stats{}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return Stats{len(d.recs), len(d.files), d.bytes, d.disk}
}

// Close forgets everything and removes the folder.
func (d *Dir) Close() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	d.closed = true
	clear(d.recs)
	clear(d.files)
	d.bytes, d.disk, d.dead = 0, 0, 0
	d.mu.Unlock()
	if err := os.RemoveAll(d.path); err != nil {
		return fmt.Errorf("spill: removing the folder: %w", err)
	}
	return nil
}
