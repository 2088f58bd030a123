package main

import (
	"os"
	"strings"

	"github.com/spf13/pflag"
)

// variable is the environment variable that stands for a flag.
func variable(flag string) string {
	return "KADRE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnv sets those of the named flags that were not given and whose variable is set. Without names it
// takes all flags.
func fromEnv(flags *pflag.FlagSet, names ...string) (err error) {
	if len(names) == 0 {
		flags.VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				names = append(names, f.Name)
			}
		})
	}
	for _, name := range names {
		value := os.Getenv(variable(name))
		if value == "" || flags.Changed(name) {
			continue
		}
		if err := flags.Set(name, value); err != nil {
			return usagef("%s: %w", variable(name), err)
		}
	}
	return nil
}
