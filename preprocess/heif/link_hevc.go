//go:build !noheic && !customenv

package heif

// #cgo LDFLAGS: -lde265
import "C"
