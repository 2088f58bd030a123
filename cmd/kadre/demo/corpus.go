package demo

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

// corpus is the text whose words are counted: files in the order of their names, in groups.
type corpus struct {
	Dir    string
	Groups []group
	Files  int
	Bytes  int64
}

// group is what one map task counts.
type group struct {
	Paths []string
	Sizes []int64
	Bytes int64
}

// goSources is the folder of the installed Go toolchain's sources.
func goSources(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("demo: asking for the Go toolchain's folder: %w; name a folder of Go files with --corpus", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "src"), nil
}

// findCorpus groups every regular file named *.go below dir, about size bytes a group.
func findCorpus(ctx context.Context, dir string, size int64) (*corpus, error) {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real // a link to the folder is taken; links inside it are not
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("demo: corpus: %w", err)
	}
	c := &corpus{Dir: dir}
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
		return nil, fmt.Errorf("demo: corpus %s: %w", dir, err)
	}
	if c.Files == 0 {
		return nil, fmt.Errorf("demo: corpus %s: no regular file named *.go is in it; name another folder with --corpus", dir)
	}
	return c, nil
}

// add puts a file into the last group, or into a new one when that is full.
func (c *corpus) add(path string, n, size int64) {
	c.Files++
	c.Bytes += n
	if k := len(c.Groups); k == 0 || c.Groups[k-1].Bytes+n > size && len(c.Groups[k-1].Paths) > 0 {
		c.Groups = append(c.Groups, group{})
	}
	g := &c.Groups[len(c.Groups)-1]
	g.Paths = append(g.Paths, path)
	g.Sizes = append(g.Sizes, n)
	g.Bytes += n
}

// readGroup gives the contents of a group's files, one after the other with a line break between.
func readGroup(paths []string) ([]byte, error) {
	var text []byte
	for _, p := range paths {
		b, err := os.ReadFile(p)
		if err != nil {
			return nil, fmt.Errorf("demo: corpus: %w", err)
		}
		text = append(append(text, b...), '\n')
	}
	return text, nil
}

// countSequentially counts the words of the whole corpus, one file after the other.
func countSequentially(ctx context.Context, c *corpus) (map[string]int, error) {
	counts := map[string]int{}
	for _, g := range c.Groups {
		for _, p := range g.Paths {
			text, err := os.ReadFile(p)
			if err := errors.Join(err, ctx.Err()); err != nil {
				return nil, fmt.Errorf("demo: corpus: %w", err)
			}
			countWords(counts, text)
		}
	}
	return counts, nil
}
