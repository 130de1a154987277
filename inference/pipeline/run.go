package pipeline

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/panics"
	"fovea/internal/repository"
	"fovea/postprocess"
	"fovea/preprocess"
)

// StepTiming is the timing of a step. Name is that of the step; of a step of a pipeline that is a step, both, with a dot.
type StepTiming struct {
	Name   string
	Images int // that its model predicted
	Timing
	Total time.Duration // from the begin of the first of them to the end of the last
}

// Work runs a function while a worker is held. The error is the function's, or that of the context.
type Work func(ctx context.Context, do func() error) error

// Run predicts an image that preprocess.DecodeWhole has returned. Crops that more than one model sees are made in work. The error is that of the
// first step that failed, and names it; then the others are canceled.
func (p *Pipeline) Run(ctx context.Context, img *preprocess.Image, work Work) (*postprocess.Piped, []StepTiming, error) {
	r := &run{work: work, maxCrops: p.maxCrops, timings: map[string]*stepTiming{}}
	out, err := r.pipeline(ctx, p, "", &view{of: img})
	if err != nil {
		return nil, nil, err
	}
	return out, r.steps(p, ""), nil
}

// run is the work on one image.
type run struct {
	work     Work
	crops    atomic.Int64
	maxCrops int64

	mu      sync.Mutex
	timings map[string]*stepTiming // by StepTiming.Name
}

type stepTiming struct {
	StepTiming
	began, ended time.Time
}

// pipeline runs the steps of a pipeline on a view. prefix is that of the names of its steps.
func (r *run) pipeline(ctx context.Context, p *Pipeline, prefix string, v *view) (*postprocess.Piped, error) {
	out := &postprocess.Piped{Steps: make([]postprocess.StepResult, len(p.top))}
	ended := make([]chan struct{}, len(p.top)) // closed when the result is there
	for i := range ended {
		ended[i] = make(chan struct{})
	}
	err := parallel(ctx, len(p.top), len(p.top), func(ctx context.Context, i int) (err error) {
		s, seen := p.top[i], v
		if first := slices.IndexFunc(p.top, func(t *step) bool { return t.Name == s.Turn.Step }); first >= 0 {
			select {
			case <-ended[first]:
			case <-ctx.Done():
				return ctx.Err()
			}
			seen = v.turned(turnsOf(&s.Turn, out.Steps[first:first+1]))
		}
		if out.Steps[i], err = r.step(ctx, s, prefix, seen); err == nil {
			close(ended[i])
		}
		return err
	})
	return out, err
}

// step runs a step on a view, and those of its objects on these.
func (r *run) step(ctx context.Context, s *step, prefix string, v *view) (result postprocess.StepResult, err error) {
	result.Name, result.Apart = s.Name, v.warp != nil
	if v.warp != nil && (s.nested != nil || len(s.children) > 0) {
		img, free, err := r.materialize(ctx, v)
		if err != nil {
			return result, failed(s, err)
		}
		defer free()
		v = &view{of: img}
	}
	if s.nested != nil {
		result.Prediction, err = r.pipeline(ctx, s.nested, prefix+s.Name+".", v)
		return result, failed(s, err)
	}
	began := time.Now()
	prediction, timing, err := s.model.Predict(ctx, v.pixels, s.params)
	if err != nil {
		return result, failed(s, err)
	}
	r.record(prefix+s.Name, began, timing)
	result.Prediction = prediction
	if len(s.children) > 0 {
		err = r.objects(ctx, s, prefix, v.of, &result)
	}
	return result, err
}

// materialize makes the pixels of a view, which several models will see.
func (r *run) materialize(ctx context.Context, v *view) (img *preprocess.Image, free func(), err error) {
	err = r.work(ctx, func() error {
		img, free, err = v.pixels()
		return err
	})
	return img, free, err
}

// objects runs the steps of a step's objects, and removes the objects that score too low.
func (r *run) objects(ctx context.Context, s *step, prefix string, of *preprocess.Image, result *postprocess.StepResult) error {
	n := result.Prediction.(postprocess.Objects).Len()
	width := 1
	for _, child := range s.children {
		width = max(width, child.rows())
	}
	results := make([]*postprocess.Piped, n)
	keep := make([]bool, n)
	err := parallel(ctx, width, n, func(ctx context.Context, i int) (err error) {
		results[i], keep[i], err = r.object(ctx, s, prefix, of, result.Prediction, i)
		return err
	})
	if err != nil {
		return err
	}
	result.Objects = results
	result.Keep(keep)
	return nil
}

// object runs the steps of an object, in order. keep is whether it scores high enough.
func (r *run) object(ctx context.Context, s *step, prefix string, of *preprocess.Image, p postprocess.Prediction, i int) (out *postprocess.Piped, keep bool, err error) {
	label := p.(postprocess.Objects).Box(i).Label
	for _, child := range s.children {
		if len(child.Labels) > 0 && !slices.Contains(child.Labels, label) {
			continue
		}
		if out == nil {
			out = &postprocess.Piped{}
		}
		v, err := r.crop(child, of, p, i, out)
		if err != nil {
			return nil, false, failed(child, err)
		}
		result, err := r.step(ctx, child, prefix, v)
		if err != nil {
			return nil, false, err
		}
		if score, ok := postprocess.Score(result.Prediction); ok && score < child.MinScore {
			return nil, false, nil
		}
		out.Steps = append(out.Steps, result)
	}
	return out, true, nil
}

// crop returns what a step sees of an object. before are the results of earlier steps for it.
func (r *run) crop(s *step, of *preprocess.Image, p postprocess.Prediction, i int, before *postprocess.Piped) (*view, error) {
	if r.crops.Add(1) > r.maxCrops {
		return nil, apierror.New(apierror.ImageTooLarge, "the image has more than %d crops, which is the limit (max_crops)", r.maxCrops)
	}
	return s.crop.view(of, p, i, turnsOf(&s.Turn, before.Steps))
}

// turnsOf returns by how many quarter turns, counterclockwise, an earlier step says that something is turned.
func turnsOf(t *repository.Turn, before []postprocess.StepResult) int {
	for _, result := range before {
		c, ok := result.Prediction.(*postprocess.Classified)
		if !ok || result.Name != t.Step || len(c.Top) == 0 || c.Top[0].Score < t.MinScore {
			continue
		}
		if t.By == repository.TurnLabel {
			turns, _ := quarterTurns(c.Top[0].Label)
			return turns
		}
		if c.Top[0].Label == t.Label {
			return 2
		}
	}
	return 0
}

// failed adds the name of a step to its error.
func failed(s *step, err error) error {
	if err == nil {
		return nil
	}
	of := apierror.From(err)
	named := apierror.Wrap(of.Code, of.Cause, "step %s: %s", s.Name, of.Message)
	named.RetryAfter = of.RetryAfter
	return named
}

// record adds the timing of a prediction to that of its step.
func (r *run) record(name string, began time.Time, t Timing) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	of := r.timings[name]
	if of == nil {
		of = &stepTiming{StepTiming: StepTiming{Name: name}, began: began}
		r.timings[name] = of
	}
	if began.Before(of.began) {
		of.began = began
	}
	of.ended = now
	of.Images++
	of.Queue, of.Crop, of.Preprocess = max(of.Queue, t.Queue), max(of.Crop, t.Crop), max(of.Preprocess, t.Preprocess)
	of.Infer, of.Postprocess = max(of.Infer, t.Infer), max(of.Postprocess, t.Postprocess)
}

// steps lists the timings of the steps that ran, in the order of the definition.
func (r *run) steps(p *Pipeline, prefix string) (list []StepTiming) {
	for i := range p.steps {
		s := &p.steps[i]
		if s.nested != nil {
			list = append(list, r.steps(s.nested, prefix+s.Name+".")...)
		} else if t := r.timings[prefix+s.Name]; t != nil {
			t.Total = t.ended.Sub(t.began)
			list = append(list, t.StepTiming)
		}
	}
	return list
}

// parallel calls do for the numbers below n, up to width at a time. It returns the first error, whose call cancels the context of the others, and
// returns when all have returned.
func parallel(ctx context.Context, width, n int, do func(ctx context.Context, i int) error) error {
	if n == 1 {
		return do(ctx, 0)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var once sync.Once
	var first error
	var calls sync.WaitGroup
	for range min(width, n) { // as many as the models take
		calls.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				err := panics.Catch(func() error { return do(ctx, i) })
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					once.Do(func() {
						first = err
						cancel(errSibling)
					})
					return
				}
			}
		})
	}
	calls.Wait()
	return first
}

// errSibling is why a call was canceled: another one failed.
var errSibling = errors.New("another step of the pipeline failed")
