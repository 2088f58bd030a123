package admit

import (
	"bytes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	tokenBytes  = 32 // 256 random bits
	sumBytes    = 4
	tokenPrefix = "kadre1"
	// MaxTokens is how many lines a token file may have: the token to prove, then one more to accept.
	MaxTokens = 2
	// MaxTokenFile bounds what is read of a token file.
	MaxTokenFile = 4096
)

// Errors of tokens and their files. What is wrapped around them says which file and what to do.
var (
	ErrMissing  = errors.New("admit: no token")
	ErrExposed  = errors.New("admit: token readable by others")
	ErrForm     = errors.New("admit: not a cluster token")
	ErrChecksum = errors.New("admit: mistyped cluster token")
)

var text = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// Keys are the admission keys of a node: it proves the first and accepts any. They do not print.
type Keys struct{ k [][]byte }

// String hides the keys.
func (Keys) String() string { return "admit.Keys(hidden)" }

// GoString hides the keys.
func (Keys) GoString() string { return "admit.Keys(hidden)" }

// NewToken draws a cluster token: 256 random bits and a checksum, in base32.
func NewToken() string {
	var b [tokenBytes]byte
	rand.Read(b[:]) // never fails
	return tokenPrefix + text.EncodeToString(append(b[:], sum(b[:])...))
}

// NewKeys draws keys that nobody else has.
func NewKeys() Keys {
	k, err := Parse(NewToken())
	if err != nil {
		panic(err) // we made it
	}
	return k
}

// Names derive from each key a name for a purpose, which tells nothing of the key: nodes of one cluster find each other by
// it where strangers listen.
func (ks Keys) Names(purpose string) (l []string) {
	for _, k := range ks.k {
		l = append(l, hex.EncodeToString(mac(k, "name", nil, []byte(purpose))[:8]))
	}
	return l
}

func sum(b []byte) []byte {
	s := sha256.Sum256(append([]byte("kadre token checksum\x00"), b...))
	return s[:sumBytes]
}

// Parse derives the keys of tokens as NewToken writes them.
func Parse(tokens ...string) (Keys, error) {
	if len(tokens) == 0 {
		return Keys{}, fmt.Errorf("%w: make one with `kadre token new`", ErrMissing)
	}
	if len(tokens) > MaxTokens {
		return Keys{}, fmt.Errorf("%w: %d tokens: at most %d, the one to prove first", ErrForm, len(tokens), MaxTokens)
	}
	var ks Keys
	for _, t := range tokens {
		rest, ok := strings.CutPrefix(strings.ToLower(t), tokenPrefix)
		if want := text.EncodedLen(tokenBytes + sumBytes); !ok || len(rest) != want {
			return Keys{}, fmt.Errorf("%w: want %q and %d characters after it, got %d in all: copy the whole line that `kadre token new` printed",
				ErrForm, tokenPrefix, want, len(t))
		}
		b, err := text.DecodeString(rest)
		// The last character has bits to spare, which must be zero too: one token has one text.
		if err != nil || text.EncodeToString(b) != rest || !bytes.Equal(sum(b[:tokenBytes]), b[tokenBytes:]) {
			return Keys{}, fmt.Errorf("%w: its checksum does not match: copy it again", ErrChecksum)
		}
		k, err := hkdf.Key(sha256.New, b[:tokenBytes], nil, "kadre/admission/1", 32)
		if err != nil {
			return Keys{}, fmt.Errorf("admit: deriving a key: %w", err)
		}
		ks.k = append(ks.k, k)
	}
	return ks, nil
}

// LoadToken reads a token file: one token a line, the one to prove first, at most MaxTokens. The file must
// be readable by its owner alone. Rotation takes two steps: give every node "old, new", then "new, old".
func LoadToken(path string) (Keys, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Keys{}, fmt.Errorf("%w: %s does not exist: make it with `(umask 077; kadre token new > %s)`", ErrMissing, path, path)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("admit: reading the token: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return Keys{}, fmt.Errorf("admit: reading the token: %w", err)
	}
	if !st.Mode().IsRegular() {
		return Keys{}, fmt.Errorf("%w: %s is not a regular file", ErrForm, path)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return Keys{}, fmt.Errorf("%w: %s has mode %04o: `chmod 600 %s`, and make a new token if others may have seen it", ErrExposed, path, st.Mode().Perm(), path)
	}
	b, err := io.ReadAll(io.LimitReader(f, MaxTokenFile+1))
	if err != nil {
		return Keys{}, fmt.Errorf("admit: reading the token: %w", err)
	}
	if len(b) > MaxTokenFile {
		return Keys{}, fmt.Errorf("%w: %s is longer than %d bytes", ErrForm, path, MaxTokenFile)
	}
	ks, err := Parse(strings.Fields(string(b))...)
	if err != nil {
		return Keys{}, fmt.Errorf("%w (file %s)", err, path)
	}
	return ks, nil
}

// LoadOrCreateSecret reads the secret of path, which has a token's form, and draws it when there is none.
// Of processes that create it at once one wins and all read the winner's.
func LoadOrCreateSecret(path string) (Keys, error) {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if err := createSecret(path); err != nil {
			return Keys{}, fmt.Errorf("admit: creating the user's secret %s: %w", path, err)
		}
	}
	return LoadToken(path)
}

// createNamed writes the secret under a name of its own and links it, so that path is never seen half written.
// A process that is killed meanwhile leaves that name.
func createNamed(path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".secret-*") // 0600, O_EXCL
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(NewToken() + "\n")
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
