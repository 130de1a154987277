// Package onnx runs ONNX models: it loads ONNX Runtime, opens sessions on the CPU or on CUDA, and keeps the
// memory of batches, which lies outside Go's heap. It is the only importer of onnxruntime_go.
//
// Open loads the library, Pick chooses a device, NewSession loads a model, NewBatch makes memory for it, and
// Batch.Run computes. Everything is closed by who opened it, batches before their session; Live counts what is
// left.
package onnx
