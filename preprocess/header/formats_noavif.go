//go:build noavif

package header

const avifAllowed = ""
