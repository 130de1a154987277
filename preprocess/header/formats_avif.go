//go:build !noavif

package header

// avifAllowed is AVIF in a list of formats, if it is built in.
const avifAllowed = ", AVIF"
