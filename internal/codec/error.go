package codec

import (
	"fmt"
	"reflect"
)

// maxPath bounds the path in an Error; a cycle would give one of thousands of bytes.
const maxPath = 200

// Error says that a value, or every value of a type, cannot be encoded or decoded.
type Error struct {
	Type reflect.Type // the outermost type; nil when bytes were looked at without one
	Path string       // where in it: "Bar.Kids[].Baz"; empty is the value itself
	Why  string       // the rest of the sentence: "is a channel; ..."
	Err  error        // what a type's own codec said, if it did

	reading bool
}

func (e *Error) Error() string {
	verb, name, what := "carry", "a value", "it"
	if e.reading {
		verb = "read"
	}
	if e.Type != nil {
		name = e.Type.String()
	}
	switch {
	case e.Path == "":
	case e.Path[0] == '[':
		what = "element " + e.Path
	default:
		what = "field " + e.Path
	}
	s := fmt.Sprintf("codec: cannot %s %s: %s %s", verb, name, what, e.Why)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap gives the error of the type's own codec.
func (e *Error) Unwrap() error { return e.Err }

// in adds an outer step to the path. Inside the package errors travel as *Error and get Type last.
func (e *Error) in(step string) *Error {
	if e.Path != "" && e.Path[0] != '[' {
		step += "."
	}
	e.Path = step + e.Path
	if len(e.Path) > maxPath {
		e.Path = e.Path[:maxPath-len("…")] + "…"
	}
	return e
}

// at adds the index of an element to the path.
func (e *Error) at(i int) *Error { return e.in(fmt.Sprintf("[%d]", i)) }

// of ends the building of an error.
func (e *Error) of(t reflect.Type) *Error {
	e.Type = t
	return e
}

// refuse is an error of the type or of a value that is being written.
func refuse(format string, args ...any) *Error { return &Error{Why: fmt.Sprintf(format, args...)} }

// damaged is an error of bytes that are being read.
func damaged(format string, args ...any) *Error {
	return &Error{Why: fmt.Sprintf(format, args...) + "; the bytes are damaged or come from another program", reading: true}
}
