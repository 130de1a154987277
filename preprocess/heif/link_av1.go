//go:build !noavif && !customenv

package heif

// #cgo LDFLAGS: -ldav1d
import "C"
