package onnx

import "golang.org/x/sys/cpu"

// exactInt8 is ONNX Runtime's kOrtSessionOptionsAvx2PrecisionMode: int8 weights become uint8, whose slower kernels cannot
// overflow. It applies on every processor with AVX2, even where VNNI makes the sums exact without it. ONNX Runtime 1.30
// then fails to create a session for QLinearConv with int8 activations, which has no kernel for uint8 weights; such a
// model is loaded without the option.
const exactInt8 = "session.x64quantprecision"

// Int8Saturates reports whether ONNX Runtime's fast int8 kernels saturate on this processor: x86 with AVX2 or AVX-512 but
// without VNNI, where pairs of uint8×int8 products are summed in 16 bits (VPMADDUBSW). Processors with VNNI, ARM, and x86
// without AVX2 sum in 32 bits.
func Int8Saturates() bool {
	x := &cpu.X86
	return saturates(features{avx2: x.HasAVX2 && x.HasFMA, avxVNNI: x.HasAVXVNNI,
		avx512: x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL, avx512VNNI: x.HasAVX512VNNI})
}

// features decide which int8 kernels ONNX Runtime uses (MLAS_PLATFORM in mlas/lib/platform.cpp).
type features struct{ avx2, avxVNNI, avx512, avx512VNNI bool }

// saturates mirrors the kernel selection: with AVX-512, only AVX-512 VNNI counts.
func saturates(f features) bool {
	switch {
	case !f.avx2:
		return false
	case f.avx512:
		return !f.avx512VNNI
	}
	return !f.avxVNNI
}
