package inference

import (
	"context"
	"errors"
	"runtime/debug"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/postprocess"
	"fovea/preprocess/geometry"
	"fovea/preprocess/header"
)

// Request is one image for one model.
type Request struct {
	Model   string // empty: the default model
	Version string // a number; empty: the highest that is served
	Image   []byte // an encoded image; not kept after Predict
	Decoded func() // unless nil, called by Predict once Image is not read any more, if it comes so far
	Row     []byte // instead of Image: the image as a row of the model's image input, prepared already, in the machine's byte order
	Params  postprocess.Params
	Waited  time.Duration // before it came here; told as time in the queue
}

// Response is the answer for one image.
type Response struct {
	Model      string
	Version    string
	Device     string // cpu, cuda:0
	Prediction postprocess.Prediction
	Timing     Timing
}

// Timing is how long the stages took.
type Timing struct {
	Queue       time.Duration // waiting for a place, a worker and an instance
	Decode      time.Duration
	Preprocess  time.Duration
	Infer       time.Duration // the run of the batch the image was in
	Postprocess time.Duration
}

// Predict answers one image. Every error is a *fault.Fault. It returns as soon as ctx ends, but for the
// milliseconds of decoding that cannot be interrupted; the caller bounds the wait by ctx's deadline.
func (e *Engine) Predict(ctx context.Context, r Request) (*Response, error) {
	v, err := e.acquire(r.Model, r.Version)
	if err != nil {
		e.obs.Rejected(e.known(r.Model), string(apierror.From(err).Code))
		return nil, err
	}
	defer v.refs.Done()
	response, err := v.predict(ctx, r, nil)
	if err != nil {
		f := e.explain(err)
		e.obs.Rejected(v.model, string(f.Code))
		return nil, f
	}
	v.observe(response)
	return response, nil
}

// explain turns what ended a request into its fault.
func (e *Engine) explain(err error) *apierror.Error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return apierror.Wrap(apierror.DeadlineExceeded, err, "no answer within the request's time")
	case errors.Is(err, context.Canceled):
		return apierror.Wrap(apierror.Canceled, err, "the client went away")
	case onnx.IsDeviceLost(err):
		return apierror.Wrap(apierror.DeviceLost, err, "the device has failed; the server must be restarted")
	}
	return apierror.From(err)
}

// predict takes one image all the way. inspect, where given, sees the outputs before they are decoded.
func (v *version) predict(ctx context.Context, r Request,
	inspect func([]postprocess.Tensor) error) (response *Response, err error) {
	defer func() {
		if value := recover(); value != nil {
			response, err = nil, &panicError{value, debug.Stack()}
		}
	}()
	if err := v.admission.enter(); err != nil {
		return nil, err
	}
	defer v.admission.leave()
	v.shared.cores.enter()
	defer v.shared.cores.leave()
	response = &Response{Model: v.model, Version: v.name}
	timing := &response.Timing
	clock := time.Now()
	info, err := v.head(r)
	if err != nil {
		return nil, err
	}
	timing.Decode = lap(&clock)
	decoded, err := v.shared.cores.turn(ctx, info.Estimate(len(r.Image)))
	if err != nil {
		return nil, err
	}
	defer decoded()
	t, err := v.scheduler.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer t.leave()
	timing.Queue = r.Waited + lap(&clock)
	response.Device = t.lane.device
	fit, err := v.prepare(ctx, t, r, info, timing)
	if err != nil {
		return nil, err
	}
	decoded()
	if err := t.wait(ctx); err != nil {
		return nil, err
	}
	timing.Queue += t.waited()
	timing.Infer = t.ran()
	if inspect != nil {
		if err := inspect(t.Outputs()); err != nil {
			return nil, err
		}
	}
	clock = time.Now()
	response.Prediction, err = v.decoder.Decode(t.Outputs(), fit, r.Params)
	timing.Postprocess = lap(&clock)
	return response, err
}

// head reads what the image's first bytes say, or checks the size of a row.
func (v *version) head(r Request) (header.Info, error) {
	if r.Row == nil {
		return header.Read(r.Image, v.shared.limits)
	}
	if want := v.plan.RowBytes(); len(r.Row) != want {
		return header.Info{}, apierror.New(apierror.Malformed, "the row has %d bytes; the model's image input takes %d", len(r.Row), want)
	}
	return header.Info{}, nil
}

// prepare makes the image a row, writes the inputs beside it and commits the row. No core is held then any more, so
// that the run may take all of them.
func (v *version) prepare(ctx context.Context, t *ticket, r Request, info header.Info,
	timing *Timing) (fit geometry.Transform, err error) {
	if r.Row != nil {
		fit = v.copyRow(t, r.Row, timing)
	} else if fit, err = v.packImage(ctx, t, r, info, timing); err != nil {
		return fit, err
	}
	for _, x := range v.extras {
		x.write(t.Input(x.input), fit)
	}
	t.commit()
	return fit, nil
}

// copyRow copies a row that is prepared already. Places in it are those of the model's input.
func (v *version) copyRow(t *ticket, row []byte, timing *Timing) geometry.Transform {
	clock := time.Now()
	in := v.definition.Input
	fit := geometry.Transform{Width: in.Width, Height: in.Height, InputW: in.Width, InputH: in.Height, ScaleX: 1, ScaleY: 1}
	t.lease()
	copy(t.Input(v.image), row)
	timing.Preprocess = lap(&clock)
	return fit
}

// packImage decodes the image and packs it into a row. It holds a core throughout: no more images are
// decoded and in memory than there are cores.
func (v *version) packImage(ctx context.Context, t *ticket, r Request, info header.Info,
	timing *Timing) (fit geometry.Transform, err error) {
	clock := time.Now()
	if err := v.shared.cores.acquire(ctx); err != nil {
		return fit, err
	}
	defer v.shared.cores.release()
	timing.Queue += lap(&clock)
	img, err := v.plan.Decode(ctx, r.Image, info)
	if err != nil {
		return fit, err
	}
	defer img.Close()
	if r.Decoded != nil {
		r.Decoded()
	}
	timing.Decode += lap(&clock)
	if err := ctx.Err(); err != nil {
		return fit, err
	}
	t.lease()
	if fit, err = v.plan.Pack(img, t.Input(v.image)); err != nil {
		return fit, err
	}
	timing.Preprocess = lap(&clock)
	return fit, nil
}

// lap is the time since clock, which is set to now.
func lap(clock *time.Time) time.Duration {
	now := time.Now()
	took := now.Sub(*clock)
	*clock = now
	return took
}

// observe reports the stages of an answered image, and boxes that were discarded.
func (v *version) observe(r *Response) {
	obs, t := v.shared.obs, r.Timing
	if d, ok := r.Prediction.(*postprocess.Detected); ok && d.Discarded > 0 {
		obs.Discarded(v.model, v.name, d.Discarded)
		v.discarding.Do(func() {
			v.shared.log.Warn("boxes far outside of the image are left out; is the definition right?", "model", v.model,
				"version", v.name, "boxes", d.Discarded)
		})
	}
	obs.Stage(v.model, v.name, StageQueue, t.Queue)
	obs.Stage(v.model, v.name, StageDecode, t.Decode)
	obs.Stage(v.model, v.name, StagePreprocess, t.Preprocess)
	obs.Stage(v.model, v.name, StageInfer, t.Infer)
	obs.Stage(v.model, v.name, StagePostprocess, t.Postprocess)
}
