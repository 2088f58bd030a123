package api

import (
	"fmt"
	"path"
	"reflect"
	"regexp"
	"runtime"
	"strings"
)

// apiPackage is the path of this package.
var apiPackage = reflect.TypeFor[Runtime]().PkgPath()

// maxFrames bounds the frames of this package between a user's registration and the code that looks.
const maxFrames = 16

// caller finds the package that called into this one, and where, as "package file.go:line".
func caller() (pkg, where string) {
	var pcs [maxFrames]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, apiPackage+".") || strings.HasSuffix(f.File, "_test.go") {
			pkg = packageOf(f.Function)
			return pkg, fmt.Sprintf("%s %s:%d", pkg, path.Base(f.File), f.Line)
		}
		if !more {
			return "", "an unknown place"
		}
	}
}

// packageOf is the part of a symbol before its own name. Dots of the path's last element are escaped in it.
func packageOf(symbol string) string {
	base := strings.LastIndexByte(symbol, '/') + 1
	if i := strings.IndexByte(symbol[base:], '.'); i >= 0 {
		return symbol[:base+i]
	}
	return symbol
}

// literal is the name of a function literal after its package: outer.func1, (*T).Method.func1.2, glob..func1.
// A declared function or method may be called func1 too: then nothing, or a receiver in parentheses, is before it.
var literal = regexp.MustCompile(`(^|\.)[^.()]*\.func\d+($|[.-])`)

// unstable says that a symbol is a literal's, a method value's or that of an instance of a generic function.
func unstable(symbol string) bool {
	own := strings.TrimPrefix(symbol[len(packageOf(symbol)):], ".")
	return literal.MatchString(own) || strings.HasSuffix(own, "-fm") || strings.Contains(own, "[...]")
}

// symbol names a function by its symbol, or as the user asks, and says where it is registered.
func symbol(fn any, as string) (name, where string) {
	_, where = caller()
	v := reflect.ValueOf(fn)
	if v.IsNil() {
		panic(fmt.Sprintf("kadre: nil function registered (%s)", where))
	}
	if as != "" {
		return as, where
	}
	name = runtime.FuncForPC(v.Pointer()).Name()
	if unstable(name) {
		panic(fmt.Sprintf("kadre: %s (%s) has no stable symbol, being a literal, a method value or an instance of a generic function: give it api.RegisterAs(\"name\")", name, where))
	}
	return name, where
}
