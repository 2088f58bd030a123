//go:build !linux

package bench

// keepAwake does nothing here.
func keepAwake() (end func() error, err error) { return func() error { return nil }, nil }

func awakeChild() error { return nil }
