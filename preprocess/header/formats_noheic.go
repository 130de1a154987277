//go:build noheic

package header

const heicAllowed = ""
