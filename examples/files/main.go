package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"

	"github.com/kadrehq/kadre/api"
)

// Count is what a task tells of one file.
type Count struct {
	Lines, Bytes int
}

// count reads a file. Tasks may run on other nodes: they must see the same files under the same path.
func count(ctx context.Context, path string) (c Count, err error) {
	f, err := os.Open(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	r := bufio.NewReader(f)
	for ctx.Err() == nil {
		part, err := r.ReadSlice('\n')
		c.Bytes += len(part)
		switch {
		case err == nil:
			c.Lines++
		case errors.Is(err, io.EOF):
			return c, nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return c, err
		}
	}
	return c, ctx.Err()
}

var CountFile = api.Func1(count)

func main() {
	dir := flag.String("dir", ".", "the folder")
	flag.Parse()
	api.RunWorker() // returns at once, unless a node started this process to run tasks
	if err := run(context.Background(), *dir); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string) error {
	rt, err := api.Init(ctx)
	if err != nil {
		return err
	}
	defer rt.Close()

	paths, err := find(dir)
	if err != nil {
		return err
	}
	refs := make([]api.Ref[Count], len(paths))
	for i, p := range paths {
		refs[i] = CountFile.Remote(ctx, p)
	}

	var all Count
	done, failed := 0, 0
	for i, ref := range api.Completed(ctx, refs) { // as they finish
		c, err := ref.Get(ctx)
		if done++; done%100 == 0 || done == len(refs) {
			fmt.Fprintf(os.Stderr, "\r%d of %d files", done, len(refs))
		}
		switch {
		case errors.Is(err, fs.ErrPermission):
			failed++ // expected here and there
		case err != nil:
			failed++
			fmt.Fprintf(os.Stderr, "\n%s: %v\n", paths[i], err)
		}
		all.Lines += c.Lines
		all.Bytes += c.Bytes
	}
	fmt.Fprintln(os.Stderr)
	fmt.Printf("%d files, %d lines, %d bytes; %d could not be read\n", done-failed, all.Lines, all.Bytes, failed)
	return ctx.Err()
}

// find lists the regular files under dir.
func find(dir string) (paths []string, err error) {
	dir, err = filepath.Abs(dir) // workers run in a folder of their own
	if err != nil {
		return nil, err
	}
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			paths = append(paths, p)
		}
		return err
	})
	return paths, err
}
