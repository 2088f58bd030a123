//go:build !linux

package p2p

import "errors"

func thisPlace() (place, error) {
	return place{}, errors.New("p2p: nodes of one machine find each other on Linux only: use Config.Join")
}
