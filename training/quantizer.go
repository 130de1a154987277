// Package training has the part of the training project that the server's commands run.
package training

import _ "embed" // the quantizer

// Quantizer is the program that makes int8 and float16 variants of an ONNX file. It needs Python with onnx and onnxruntime.
//
//go:embed fovea_training/quantize.py
var Quantizer []byte
