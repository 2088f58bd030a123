package api

import (
	"fmt"
	"reflect"
	"sync/atomic"

	"github.com/kadrehq/kadre/internal/codec"
)

// started is set by the first Init.
var started atomic.Bool

// mustBeEarly panics after Init: other processes of the job must know the same types.
func mustBeEarly(what string) {
	if started.Load() {
		_, where := caller()
		panic(fmt.Sprintf("kadre: %s (%s) is called after Init: call it in func init(), or as a package variable", what, where))
	}
}

// RegisterType lets values of T travel in interfaces. T and *T are different types. It belongs before the
// functions whose arguments or results hold such interfaces: var _ = api.RegisterType[T]() above them will do.
func RegisterType[T any]() None {
	mustBeEarly("RegisterType")
	return orPanic("RegisterType", reflect.TypeFor[T](), codec.RegisterType[T]())
}

// RegisterCodec makes enc and dec the encoding of T. It belongs before the functions whose arguments or
// results hold a T, as RegisterType does. Both functions may be called concurrently; dec may keep the bytes.
func RegisterCodec[T any](enc func(T) ([]byte, error), dec func([]byte) (T, error)) None {
	mustBeEarly("RegisterCodec")
	return orPanic("RegisterCodec", reflect.TypeFor[T](), codec.RegisterCodec(enc, dec))
}

func orPanic(what string, t reflect.Type, err error) None {
	if err != nil {
		_, where := caller()
		panic(fmt.Errorf("kadre: %s[%v] (%s): %w", what, t, where, err))
	}
	return None{}
}
