package chaos

import (
	"bytes"
	"fmt"

	"github.com/kadrehq/kadre/internal/id"
)

// objectOf is the name of object n.
func objectOf(n int) (o id.Object) {
	o[0], o[1], o[19] = byte(n), byte(n>>8), byte(n*31)
	return o
}

// pattern is what objects consist of, twice: object n repeats it from byte 64 n on.
var pattern = func() []byte {
	b := make([]byte, 2*period)
	for i := range b {
		b[i] = byte(i >> 6)
	}
	return b
}()

const period = 64 << 8

// expected calls f for each piece of object n with what it must be.
func expected(b []byte, n int, f func(is, want []byte)) {
	from := pattern[n*64%period:]
	for len(b) > 0 {
		m := min(len(b), period)
		f(b[:m], from[:m])
		b = b[m:]
	}
}

func fill(b []byte, n int) { expected(b, n, func(is, want []byte) { copy(is, want) }) }

func check(b []byte, n int) (err error) {
	expected(b, n, func(is, want []byte) {
		if !bytes.Equal(is, want) {
			err = fmt.Errorf("chaos: object %d of %d bytes is corrupt", n, len(b))
		}
	})
	return err
}
