package inference

import "time"

// The stages of an image's way, as Observer is told of them.
const (
	StageQueue       = "queue"       // waiting: for a place, a worker and an instance
	StageDecode      = "decode"      // header and pixels
	StagePreprocess  = "preprocess"  // resizing and packing into the row
	StageInfer       = "infer"       // the run of the batch
	StagePostprocess = "postprocess" // from the outputs to the answer
)

// Observer is told what happens, for metrics. Its methods are called on the hot path by many goroutines: they
// must be quick and never wait.
type Observer interface {
	// Stage is how long one stage of one answered image took.
	Stage(model, version, stage string, d time.Duration)
	// Batch is one run: rows with an image, and rows that only pad the bucket.
	Batch(model, version string, rows, padded int)
	// Queue is a change in the number of images accepted and not yet answered. It is no total, since a version that is
	// loaded anew has its own beside that of the one it replaces.
	Queue(model, version string, change int)
	// Discarded are boxes of one answered image that were left out, as they lie far outside of it.
	Discarded(model, version string, boxes int)
	// Rejected is an image that was not answered; reason is the code of its fault.
	Rejected(model, reason string)
}

type noObserver struct{}

func (noObserver) Stage(string, string, string, time.Duration) {}
func (noObserver) Batch(string, string, int, int)              {}
func (noObserver) Queue(string, string, int)                   {}
func (noObserver) Discarded(string, string, int)               {}
func (noObserver) Rejected(string, string)                     {}
