package words

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Corpus is the text whose words are counted: files in the order of their names, in groups.
type Corpus struct {
	Dir    string
	Groups []Group
	Files  int
	Bytes  int64
}

// Group is what one map task counts.
type Group struct {
	Paths []string
	Sizes []int64
	Bytes int64
}

// GoSources is the folder of the installed Go toolchain's sources.
func GoSources(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("words: asking for the Go toolchain's folder: %w; name a folder of Go files with --corpus", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src"), nil
}

const (
	groupSize = 4 << 20 // bytes of a group, at most (or one file)
	minGroups = 24      // so that there is something to share
)

// Find groups every regular file named *.go below dir, for about groupSize bytes in each of at least minGroups.
func Find(ctx context.Context, dir string) (*Corpus, error) {
	c, err := find(ctx, dir, groupSize)
	if err != nil {
		return nil, err
	}
	return c.spread(), nil
}

// spread makes smaller groups where there would be too few to share.
func (c *Corpus) spread() *Corpus {
	if len(c.Groups) >= minGroups {
		return c
	}
	size := c.Bytes/minGroups + 1
	fine := &Corpus{Dir: c.Dir}
	for _, g := range c.Groups {
		for i, p := range g.Paths {
			fine.add(p, g.Sizes[i], size)
		}
	}
	return fine
}

// find groups the files with about size bytes in each group.
func find(ctx context.Context, dir string, size int64) (*Corpus, error) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // a link to the folder is taken; links inside it are not
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("words: corpus: %w", err)
	}
	c := &Corpus{Dir: dir}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if !d.Type().IsRegular() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		c.add(path, info.Size(), size)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("words: corpus %s: %w", dir, err)
	}
	if c.Files == 0 {
		return nil, fmt.Errorf("words: corpus %s: no regular file named *.go is in it; name another folder with --corpus", dir)
	}
	return c, nil
}

// add puts a file into the last group, or into a new one when that is full.
func (c *Corpus) add(path string, n, size int64) {
	c.Files++
	c.Bytes += n
	if k := len(c.Groups); k == 0 || c.Groups[k-1].Bytes+n > size && len(c.Groups[k-1].Paths) > 0 {
		c.Groups = append(c.Groups, Group{})
	}
	g := &c.Groups[len(c.Groups)-1]
	g.Paths = append(g.Paths, path)
	g.Sizes = append(g.Sizes, n)
	g.Bytes += n
}

// ReadGroup gives the contents of a group's files, one after the other with a line break between.
func ReadGroup(paths []string) ([]byte, error) {
	var text []byte
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("words: corpus: %w", err)
		}
		text = append(append(text, b...), '\n')
	}
	return text, nil
}

// CountAll counts the words of the whole corpus, one file after the other.
func CountAll(ctx context.Context, c *Corpus) (map[string]int, error) {
	counts := map[string]int{}
	for _, g := range c.Groups {
		for _, p := range g.Paths {
			text, err := os.ReadFile(p)
			if err := errors.Join(err, ctx.Err()); err != nil {
				return nil, fmt.Errorf("words: corpus: %w", err)
			}
			Count(counts, text)
		}
	}
	return counts, nil
}
