package inference

import (
	"context"
	"time"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/inference/pipeline"
	"fovea/internal/apierror"
	"fovea/internal/panics"
	"fovea/postprocess"
	"fovea/preprocess"
	"fovea/preprocess/geometry"
	"fovea/preprocess/header"
)

// Request is one image for one model.
type Request struct {
	Model   string // empty: the default, see Engine.Default
	Version string // a number; empty: the highest that is served
	Image   []byte // an encoded image; not kept after Predict
	Decoded func() // unless nil, called once Image is no longer needed; not called when the request fails before
	Row     []byte // instead of Image: a preprocessed row of the model's image input, in native byte order
	// Pixels instead of Image returns decoded pixels (preprocess.DecodeWhole), and what frees them. It is called at most once, while a worker is
	// held, so that as many images are in memory as can be packed. Such a request waits while the queue is full.
	Pixels func() (img *preprocess.Image, free func(), err error)
	Params postprocess.Params
	Tiles  TileParams
	Waited time.Duration // before Predict; added to Timing.Queue

	Client      string  // whom the image is counted for
	ClientShare float64 // of the queue that one client may hold while others need it; 0: all
}

// Response is the answer for one image.
type Response struct {
	Model      string
	Version    string
	Device     string // cpu, cuda:0
	Prediction postprocess.Prediction
	Timing     Timing
	Steps      []pipeline.StepTiming // of a pipeline

	tiles, answered int // into how many the image was cut; rows that were run for it
	runs, rows      int // how many runs began with one of them; the rows of the largest one
}

// Timing is the duration of each stage.
type Timing struct {
	Queue       time.Duration // waiting for a slot, a worker and an instance
	Decode      time.Duration
	Preprocess  time.Duration
	Infer       time.Duration // the run of the batch the image was in; with tiles from the first run's begin to the last one's end
	Postprocess time.Duration
}

// Predict answers one image. Every error is an *apierror.Error. It returns as soon as ctx ends, except for milliseconds of
// decoding that cannot be interrupted; the caller bounds the wait with ctx's deadline.
func (e *Engine) Predict(ctx context.Context, r Request) (*Response, error) {
	p, err := e.acquirePipeline(r.Model, r.Version)
	if err != nil {
		return nil, e.refused(r, err)
	}
	if p != nil {
		defer p.close()
		return e.predictPipeline(ctx, p, r)
	}
	v, err := e.acquire(ctx, r.Model, r.Version)
	if err != nil {
		return nil, e.refused(r, err)
	}
	defer v.done()
	return v.respond(ctx, r)
}

// refused counts a request that no model has got.
func (e *Engine) refused(r Request, err error) error {
	e.obs.Rejected(e.label(r.Model), string(apierror.From(err).Code))
	return err
}

// respond answers a request and counts it.
func (v *version) respond(ctx context.Context, r Request) (*Response, error) {
	start := time.Now()
	response, err := v.predict(ctx, r, nil)
	total := time.Since(start) + r.Waited
	if err != nil {
		return nil, v.reject(OfImages, total, err)
	}
	v.stats[OfImages].success(max(1, response.answered), response.runs, response.rows, total, response.Timing)
	v.observe(response)
	return response, nil
}

// reject counts a request that failed, and returns its API error.
func (v *version) reject(kind RequestKind, total time.Duration, err error) error {
	v.stats[kind].fail(total)
	apiErr := apierror.From(err)
	if onnx.IsDeviceLost(err) {
		apiErr = deviceLost(err)
	}
	v.shared.obs.Rejected(v.model, string(apiErr.Code))
	return apiErr
}

// predict takes one image all the way, and turns a panic into an error. inspect, unless nil, gets the outputs before they
// are decoded.
func (v *version) predict(ctx context.Context, r Request, inspect func([]postprocess.Tensor) error) (*Response, error) {
	response := &Response{Model: v.model, Version: v.name}
	if err := panics.Catch(func() error { return v.answer(ctx, r, inspect, response) }); err != nil {
		return nil, err
	}
	return response, nil
}

// answer passes the gates that bound images, in the order of ARCHITECTURE.md: the version's queue, the turn of large
// images, a slot, a worker, and in the batcher the instance with the workers of its run.
func (v *version) answer(ctx context.Context, r Request, inspect func([]postprocess.Tensor) error, response *Response) error {
	if v.plan == nil {
		return v.noTask()
	}
	if how, err := v.tilingOf(&r); err != nil {
		return err
	} else if how != nil {
		return v.answerTiles(ctx, r, how, response)
	}
	if err := v.enqueue(ctx, r); err != nil {
		return err
	}
	defer v.queue.leave(1, r.Client)
	watch := newStopwatch(ctx, &response.Timing)
	info, err := v.header(r)
	if err != nil {
		return err
	}
	watch.lap(StageDecode, &watch.Decode)
	work, err := v.shared.workers.enter(ctx, info.Estimate(len(r.Image)))
	if err != nil {
		return err
	}
	defer work.leave()
	h, err := v.batcher.Enter(ctx)
	if err != nil {
		return err
	}
	defer h.Release()
	watch.Queue = r.Waited
	watch.lap(StageQueue, &watch.Queue)
	response.Device = h.Device()
	transform, err := v.prepare(ctx, &work, h, r, info, &watch)
	if err != nil {
		return err
	}
	if err := h.Wait(ctx); err != nil {
		return modelFailed(err)
	}
	watch.ran(h)
	var leads bool
	if response.rows, leads = h.Rows(); leads {
		response.runs = 1
	}
	if inspect != nil {
		if err := inspect(h.Outputs()); err != nil {
			return err
		}
	}
	response.Prediction, err = v.decoder.Decode(h.Outputs(), transform, r.Params)
	watch.lap(StagePostprocess, &watch.Postprocess)
	return err
}

// enqueue enters the queue. Pixels wait for room: their request has been accepted, and its body freed.
func (v *version) enqueue(ctx context.Context, r Request) error {
	if r.Pixels != nil {
		return v.queue.await(ctx, 1, r.Client, r.ClientShare)
	}
	return v.queue.enter(1, r.Client, r.ClientShare)
}

// header reads the image's header, or checks the size of a row.
func (v *version) header(r Request) (header.Info, error) {
	switch {
	case r.Pixels != nil:
		return header.Info{}, nil
	case r.Row == nil:
		return header.Read(r.Image, v.shared.limits)
	}
	want := v.plan.RowBytes()
	if v.definition.Input.Dynamic() {
		return header.Info{}, apierror.New(apierror.Malformed, "the model's input has the size of each image; send images, not rows")
	}
	if len(r.Row) != want {
		return header.Info{}, apierror.New(apierror.Malformed, "the row has %d bytes; the model's image input takes %d", len(r.Row), want)
	}
	return header.Info{}, nil
}

// prepare writes the image and the extra inputs into the batch. No worker is held afterwards, so that the run may
// take all of them. The transform is the one that the outputs are decoded with.
func (v *version) prepare(ctx context.Context, work *imageWork, h *batcher.Handle, r Request, info header.Info,
	watch *stopwatch) (placed geometry.Transform, err error) {
	var transform geometry.Transform
	if r.Row != nil {
		transform = v.copyRow(h, r.Row, watch)
		placed = transform
	} else if transform, placed, err = v.packImage(ctx, work, h, r, info, watch); err != nil {
		return placed, err
	}
	for _, x := range v.extras {
		x.write(h.Input(x.input), transform)
	}
	watch.commit(h)
	return placed, nil
}

// copyRow copies a row that was prepared by the caller. Coordinates in it are those of the model's input.
func (v *version) copyRow(h *batcher.Handle, row []byte, watch *stopwatch) geometry.Transform {
	in := v.definition.Input
	copy(h.Input(v.image), row)
	watch.lap(StagePreprocess, &watch.Preprocess)
	return geometry.Transform{Width: in.Width, Height: in.Height, InputW: in.Width, InputH: in.Height, ScaleX: 1, ScaleY: 1}
}

// packImage decodes the image and packs it into its row. It holds a worker throughout, so no more images are decoded
// and in memory than there are workers. transform is that of the image, and placed maps objects to the image that it was cropped from.
func (v *version) packImage(ctx context.Context, work *imageWork, h *batcher.Handle, r Request, info header.Info,
	watch *stopwatch) (transform, placed geometry.Transform, err error) {
	if err := work.acquire(ctx); err != nil {
		return transform, placed, err
	}
	defer work.release()
	watch.lap(StageQueue, &watch.Queue)
	img, free, err := v.pixels(ctx, r, info)
	if err != nil {
		return transform, placed, err
	}
	defer free()
	if r.Decoded != nil {
		r.Decoded()
	}
	watch.lap(StageDecode, &watch.Decode)
	if err := ctx.Err(); err != nil {
		return transform, placed, err
	}
	if err := v.reshape(h, v.plan.InputSize(img.Size())); err != nil {
		return transform, placed, err
	}
	if transform, err = v.plan.Pack(img, h.Input(v.image)); err != nil {
		return transform, placed, err
	}
	placed = transform
	if area, whole := img.Area(); !area.Empty() && v.definition.Task.HasObjects() {
		placed = transform.Within(area.Min.X, area.Min.Y, whole.X, whole.Y)
	}
	watch.lap(StagePreprocess, &watch.Preprocess)
	return transform, placed, nil
}

// pixels returns the decoded image of a request, and what frees it.
func (v *version) pixels(ctx context.Context, r Request, info header.Info) (*preprocess.Image, func(), error) {
	if r.Pixels != nil {
		return r.Pixels()
	}
	img, err := v.plan.Decode(ctx, r.Image, info)
	if err != nil {
		return nil, nil, err
	}
	return img, img.Close, nil
}

// observe reports the stages of an answered image and its discarded boxes.
func (v *version) observe(r *Response) {
	obs := v.shared.obs
	if d, ok := r.Prediction.(postprocess.Objects); ok && d.Discards() > 0 {
		obs.Discarded(v.model, v.name, d.Discards())
		v.logDiscarded.Do(func() {
			v.shared.log.Warn("boxes far outside the image are discarded; the definition may be wrong", "model", v.model,
				"version", v.name, "boxes", d.Discards())
		})
	}
	if r.tiles > 0 {
		obs.Tiles(v.model, v.name, r.tiles)
	}
	obs.Stage(v.model, v.name, StageDecode, r.Timing.Decode)
	v.observeStages(r.Timing)
}

// observeStages reports the stages that images and tensors have.
func (v *version) observeStages(t Timing) {
	obs := v.shared.obs
	obs.Stage(v.model, v.name, StageQueue, t.Queue)
	obs.Stage(v.model, v.name, StagePreprocess, t.Preprocess)
	obs.Stage(v.model, v.name, StageInfer, t.Infer)
	obs.Stage(v.model, v.name, StagePostprocess, t.Postprocess)
}
