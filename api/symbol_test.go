package api

import (
	"strings"
	"testing"
)

func TestUnstableSymbols(t *testing.T) {
	for name, want := range map[string]bool{
		"main.square":                         false,
		"main.func1":                          false,
		"main.functional":                     false,
		"example.com/app/v2.(*Counter).Add":   false,
		"example.com/app/v2.(*Counter).func1": false,
		"example.com/yaml%2ev3.Parse":         false,
		"main.main.func1":                     true,
		"main.init.func1":                     true,
		"main.glob..func1":                    true,
		"main.main.func2.1":                   true,
		"main.(*Counter).Add.func1":           true,
		"main.each-range1.func3":              true,
		"example.com/app.(*Counter).Add-fm":   true,
		"example.com/app.Map[...]":            true,
		"example.com/app.(*Box[...]).Get":     true,
	} {
		if got := unstable(name); got != want {
			t.Errorf("%s: unstable is %v", name, got)
		}
	}
}

func TestPackageOf(t *testing.T) {
	for name, want := range map[string]string{
		"main.main.func1":             "main",
		"example.com/a.b/c.(*T).M":    "example.com/a.b/c",
		"example.com/yaml%2ev3.Parse": "example.com/yaml%2ev3",
		"nothing":                     "nothing",
	} {
		if got := packageOf(name); got != want {
			t.Errorf("%s is in %q", name, got)
		}
	}
}

func TestCallerIsTheUsersLine(t *testing.T) {
	if pkg, where := caller(); pkg != apiPackage || !strings.HasPrefix(where, apiPackage+" symbol_test.go:") {
		t.Errorf("%q, %q", pkg, where)
	}
}
