//go:build !noheic

package header

// heicAllowed is HEIC in a list of formats, if it is built in.
const heicAllowed = ", HEIC"
