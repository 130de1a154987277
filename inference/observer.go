package inference

import "time"

// The stages of a prediction, as reported to Observer and in traces.
const (
	StageQueue       = "queue"       // waiting for a slot, a worker and an instance
	StageDecode      = "decode"      // header and pixels
	StagePreprocess  = "preprocess"  // resizing and packing into the row
	StageInfer       = "infer"       // the run of the batch
	StagePostprocess = "postprocess" // from the outputs to the prediction
)

// Observer receives events for metrics. Its methods are called on the hot path by many goroutines: they must be fast and
// never block.
type Observer interface {
	// Stage is the duration of one stage of one answered image.
	Stage(model, version, stage string, d time.Duration)
	// Batch is one run: rows with an image, and padding rows.
	Batch(model, version string, rows, padded int)
	// Queue is a change in the number of images accepted and not yet answered. It is not a total, since a version that is
	// reloaded has its own queue in addition to that of the one it replaces.
	Queue(model, version string, change int)
	// Discarded are boxes of one answered image that were discarded because they lie far outside it.
	Discarded(model, version string, boxes int)
	// Tiles are those of one answered image that was predicted in tiles.
	Tiles(model, version string, tiles int)
	// Evicted is a model that was unloaded to free memory; reason is one of the Evicted constants.
	Evicted(model, reason string)
	// Rejected is an image that was not answered; code is that of the API error.
	Rejected(model, code string)
}

type noObserver struct{}

func (noObserver) Stage(string, string, string, time.Duration) {}
func (noObserver) Batch(string, string, int, int)              {}
func (noObserver) Queue(string, string, int)                   {}
func (noObserver) Discarded(string, string, int)               {}
func (noObserver) Tiles(string, string, int)                   {}
func (noObserver) Evicted(string, string)                      {}
func (noObserver) Rejected(string, string)                     {}
