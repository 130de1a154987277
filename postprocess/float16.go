package postprocess

import (
	"encoding/binary"

	"fovea/internal/float16"
)

// float16s decodes the halves in src, in the machine's byte order, into dst, which must hold len(src)/2.
func float16s(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = float16.Value(binary.NativeEndian.Uint16(src[2*i:]))
	}
}
