package onnx

import "golang.org/x/sys/cpu"

// exactInt8 is ONNX Runtime's kOrtSessionOptionsAvx2PrecisionMode: weights of int8 are turned into uint8, whose slower
// kernels cannot overflow. It does so on every processor with AVX2, also where VNNI makes the sums exact without it.
// ONNX Runtime 1.30 then fails to make a session for QLinearConv of int8 activations, which takes no weights of uint8; such
// a model is loaded without it.
const exactInt8 = "session.x64quantprecision"

// Int8Saturates says that this processor's fast way to add up products of uint8 and int8 saturates: x86 with AVX2 or
// AVX-512 and without VNNI, on which ONNX Runtime adds the products in pairs with 16 bits (VPMADDUBSW). Processors with
// VNNI, ARM and x86 of before AVX2 add them with 32 bits.
func Int8Saturates() bool {
	x := &cpu.X86
	return saturates(features{avx2: x.HasAVX2 && x.HasFMA, avxVNNI: x.HasAVXVNNI,
		avx512: x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL, avx512VNNI: x.HasAVX512VNNI})
}

// features are those by which ONNX Runtime chooses its kernels for int8 (MLAS_PLATFORM in mlas/lib/platform.cpp).
type features struct{ avx2, avxVNNI, avx512, avx512VNNI bool }

// saturates follows the choice of the kernel: with AVX-512, only the VNNI that belongs to it counts.
func saturates(f features) bool {
	switch {
	case !f.avx2:
		return false
	case f.avx512:
		return !f.avx512VNNI
	}
	return !f.avxVNNI
}
