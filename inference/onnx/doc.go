// Package onnx runs ONNX models: it loads ONNX Runtime, opens sessions on the CPU or on CUDA, and keeps the
// memory of batches, which lies outside Go's heap. It is the only importer of onnxruntime_go.
//
// Open loads the library, Pick chooses a device, NewSession loads a model, NewBatch makes memory for it, and
// Batch.Run computes. Everything is closed by who opened it, batches before their session; Live counts what is
// left.
//
// # Choices, with what was measured
//
// On two CPU cores that other work shared, ONNX Runtime 1.30 (BenchmarkCall and BenchmarkTwoInstances repeat the
// first two):
//
//   - One session with one thread serves all instances on the CPU. Two goroutines over one session computed 451
//     to 497 rows/s of MobileNetV2 int8 and 108 to 122 of YOLOX-nano, over a session each 331 to 476 and 58 to
//     73: never better, and the weights are in memory twice.
//   - Run is called with names and tensors, not with an I/O binding. A call costs 4 allocations of 32 bytes
//     together and 0.1 µs more of 3.7. On CUDA a binding would be wrong: it copies inputs to the device when
//     they are bound, not when it runs.
//   - The CPU's arena is on, memory patterns (plans for one set of shapes) are off. Over batches of 1, 8, 2 and 4
//     in turn, CPU time a row and resident memory were 8.5 ms and 187 MB with YOLOX-nano; with patterns 9.3 ms
//     and 224 MB, without the arena 11.5 ms and 196 MB. Memory does not grow after the largest batch ran. Sessions share
//     one arena, which takes 10 MiB less than an arena each with YOLOX-nano and its second session of more threads.
//   - Threads wait without spinning, which leaves the cores to decoding; those of Widen, whose runs have the cores to
//     themselves, spin within a run.
package onnx
