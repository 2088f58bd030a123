//go:build !linux

package admit

func createSecret(path string) error { return createNamed(path) }
