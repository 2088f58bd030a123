//go:build !linux

package spill

import "errors"

func mountSmall(string, int) error { return errors.ErrUnsupported }
