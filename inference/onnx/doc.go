// Package onnx runs ONNX models: it loads ONNX Runtime, opens sessions on a device (the CPU or CUDA), and owns the
// memory of batches, which is outside Go's heap. It is the only importer of onnxruntime_go.
//
// Open loads the library, Pick chooses a device, NewSession loads a model, NewBatch allocates its tensors, and Batch.Run
// computes. Callers close what they open, batches before their session; Live counts what is still open.
//
// # Design decisions and measurements
//
// Measured on two shared CPU cores with ONNX Runtime 1.30 (BenchmarkCall and BenchmarkTwoInstances repeat the first two):
//
//   - One single-threaded session serves all instances on the CPU. Two goroutines on one session computed 451 to 497
//     rows/s with MobileNetV2 int8 and 108 to 122 with YOLOX-nano; on a session each, 331 to 476 and 58 to 73. Separate
//     sessions were never faster and hold the weights twice.
//   - Run takes names and tensors, not an I/O binding. A call costs 4 allocations of 32 bytes in total and 0.1 µs of 3.7.
//     On CUDA a binding would be wrong: it copies inputs to the device when they are bound, not when the run starts.
//   - The CPU arena is on; memory patterns (allocation plans for one set of shapes) are off. Over batches of 1, 8, 2 and
//     4 in turn, YOLOX-nano took 8.5 ms of CPU time per row and 187 MB of resident memory; with patterns 9.3 ms and
//     224 MB; without the arena 11.5 ms and 196 MB. Memory does not grow after the largest batch has run. Sessions share
//     one arena, which takes 10 MiB less than separate ones with YOLOX-nano and its parallel session.
//   - Threads do not spin while they wait, which leaves the cores to decoding; those of a parallel session, whose runs
//     have the cores to themselves, spin during a run.
package onnx
