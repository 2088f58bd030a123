package spill

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/kadrehq/kadre/internal/codec"
	"github.com/kadrehq/kadre/internal/id"
)

// Object is one to be written.
type Object struct {
	Info
	Data []byte // Size bytes
}

// Write writes objects into one file. Either all of them are in the folder afterwards, instead of earlier
// attempts, or none is and there is no file.
func (d *Dir) Write(objs []Object) error {
	return d.store(objs, func(Object) bool { return true })
}

// store writes a file, and then takes those objects into the index that still belong there, which it asks with the
// lock held.
func (d *Dir) store(objs []Object, belongsLocked func(Object) bool) error {
	d.mu.Lock()
	d.names++
	f := &file{name: strconv.FormatUint(d.names, 10) + ".spill", live: len(objs)}
	closed, full := d.closed, len(d.recs)+len(objs) > MaxRecords
	d.mu.Unlock()
	switch {
	case len(objs) == 0:
		return nil
	case closed:
		return fmt.Errorf("%w: %s", ErrClosed, d.path)
	case full:
		return fmt.Errorf("%w in %s", ErrTooMany, d.path)
	}
	for _, o := range objs {
		f.size += o.bytes()
	}
	if err := d.write(f, objs); err != nil {
		d.remove([]string{f.name})
		return fmt.Errorf("spill: writing %d objects: %w", len(objs), err)
	}
	var gone []string
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		os.RemoveAll(d.path)
		return fmt.Errorf("%w: %s", ErrClosed, d.path)
	}
	d.files[f] = struct{}{}
	d.disk += f.size
	at := int64(0)
	for _, o := range objs {
		if belongsLocked(o) {
			if old, ok := d.recs[o.ID]; ok {
				gone = d.dropLocked(old, gone)
			}
			d.recs[o.ID] = record{o.Info, f, at, codec.HoldsRefs(o.Data)}
			d.bytes += o.Size
		} else {
			gone = d.deadLocked(f, o.bytes(), gone)
		}
		at += o.bytes()
	}
	d.mu.Unlock()
	d.remove(gone)
	return nil
}

func (d *Dir) write(to *file, objs []Object) error {
	if err := os.MkdirAll(d.path, 0o700); err != nil {
		return err
	}
	if err := d.spare(to.size); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.path, to.name), os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, o := range objs {
		if _, err := f.Write(appendHead(nil, o.Info, sumsOf(o.Data))); err != nil {
			return err
		}
		if _, err := f.Write(o.Data); err != nil {
			return err
		}
	}
	return f.Close()
}

// Read reads an object into dst, which has its size. Other bytes than were written are ErrCorrupt.
func (d *Dir) Read(want Info, dst []byte) error {
	r, sums, f, err := d.open(want)
	if err != nil {
		return err
	}
	defer f.Close()
	if int64(len(dst)) != want.Size {
		return fmt.Errorf("spill: %d bytes of room for %v of %d", len(dst), want.ID, want.Size)
	}
	for i := range chunks(want.Size) {
		if err := r.chunk(f, sums, i, dst[i*Chunk:min((i+1)*Chunk, len(dst))]); err != nil {
			return err
		}
	}
	return nil
}

// ReadChunk reads one chunk of an object into dst, which has its length, and gives its CRC32C.
func (d *Dir) ReadChunk(want Info, i int, dst []byte) (sum uint32, err error) {
	r, sums, f, err := d.open(want)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	if i < 0 || i >= chunks(want.Size) || int64(len(dst)) != min(Chunk, want.Size-int64(i)*Chunk) {
		return 0, fmt.Errorf("spill: %v has no chunk %d of %d bytes", want.ID, i, len(dst))
	}
	return binary.BigEndian.Uint32(sums[4*i:]), r.chunk(f, sums, i, dst)
}

// open opens the file of a record and checks its head. A record may move to another file meanwhile.
func (d *Dir) open(want Info) (r record, sums []byte, f *os.File, err error) {
	for {
		d.mu.Lock()
		now, ok := d.recs[want.ID]
		d.mu.Unlock()
		if !ok || now.Info != want {
			return now, nil, nil, fmt.Errorf("%w: %v of attempt %d", ErrNotFound, want.ID, want.Attempt)
		}
		if err != nil && now == r {
			return r, nil, nil, d.explain(r.ID, err)
		}
		r = now
		if f, err = os.OpenFile(filepath.Join(d.path, r.f.name), os.O_RDONLY|syscall.O_NOFOLLOW, 0); err == nil {
			break
		}
	}
	b := make([]byte, headerLen+4*chunks(r.Size))
	if _, err = f.ReadAt(b, r.at); err != nil {
		err = fmt.Errorf("%w: %s of %v ends early or cannot be read: %w", ErrCorrupt, f.Name(), r.ID, err)
	} else if sums, err = parseHead(b, r.Info); err != nil {
		err = fmt.Errorf("%w, in %s", err, f.Name())
	}
	if err != nil {
		f.Close()
		return r, nil, nil, err
	}
	return r, sums, f, nil
}

// explain tells a file that is gone or unreadable from a record that was dropped in this moment, and from a
// system that is short of something.
func (d *Dir) explain(o id.Object, err error) error {
	if _, ok := d.Find(o); !ok {
		return fmt.Errorf("%w: %v", ErrNotFound, o)
	}
	for _, short := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, short) {
			return fmt.Errorf("spill: opening the file of %v: %w", o, err)
		}
	}
	return fmt.Errorf("%w: the file of %v: %w", ErrCorrupt, o, err)
}

// chunk reads and checks one chunk.
func (r record) chunk(f *os.File, sums []byte, i int, dst []byte) error {
	if _, err := f.ReadAt(dst, r.at+headerLen+int64(len(sums))+int64(i)*Chunk); err != nil {
		return fmt.Errorf("%w: chunk %d of %v in %s: %w", ErrCorrupt, i, r.ID, f.Name(), err)
	}
	if crc32.Checksum(dst, castagnoli) != binary.BigEndian.Uint32(sums[4*i:]) {
		return fmt.Errorf("%w: chunk %d of %v in %s does not match its checksum", ErrCorrupt, i, r.ID, f.Name())
	}
	return nil
}
