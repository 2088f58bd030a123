package unittest

import (
	"context"
	"errors"
	"strings"

	"github.com/kadrehq/kadre/api"
)

// ErrEmpty says that a text has no words.
var ErrEmpty = errors.New("no words")

func init() { api.RegisterError(ErrEmpty) } // so that errors.Is finds it wherever the task ran

// longest finds the longest word of a text, the first of several.
func longest(ctx context.Context, text string) (string, error) {
	best := ""
	for _, w := range strings.Fields(text) {
		if len(w) > len(best) {
			best = w
		}
	}
	if best == "" {
		return "", ErrEmpty
	}
	return best, nil
}

var Longest = api.Func1(longest)

// LongestOf finds the longest word of several texts, in parallel.
func LongestOf(ctx context.Context, texts []string) (string, error) {
	var refs []api.Ref[string]
	for _, t := range texts {
		refs = append(refs, Longest.Remote(ctx, t))
	}
	words, err := api.GetAll(ctx, refs)
	if err != nil {
		return "", err
	}
	return longest(ctx, strings.Join(words, " "))
}
