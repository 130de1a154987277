package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"image"
	"sync"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/panics"
	"fovea/internal/terminal"
	"fovea/postprocess"
)

// Answer is a model's answer for an image.
type Answer struct {
	Model, Version string
	JSON           json.RawMessage        // the prediction, as the API writes it
	Prediction     postprocess.Prediction // nil if it comes from a server
}

// Predictor answers images. Its methods may be called concurrently, and keep no image.
type Predictor interface {
	// Predict answers an encoded image. Errors that are not about the image have the codes that apierror gives them.
	Predict(ctx context.Context, image []byte) (*Answer, error)
	// Draw returns the image with its answer drawn on it. format is png or jpeg.
	Draw(ctx context.Context, image []byte, a *Answer, format string) ([]byte, error)
	// Decode decodes an image and passes it to use: orientation-corrected, with what its size was multiplied by.
	Decode(ctx context.Context, image []byte, use func(img *image.RGBA, scale float64) error) error
}

// Options say how images are predicted.
type Options struct {
	Parallel int    // images at a time
	MaxBytes int64  // of an image
	Annotate string // folder for annotated images; empty: none
	Crop     string // folder for crops; empty: none
	Sink     Sink
	Progress *terminal.Progress
	Shared   bool // the sink writes to the terminal that shows the progress
}

// Failure is an image without an answer.
type Failure struct {
	Name string
	Err  error
}

// String is what a list of failures says.
func (f Failure) String() string { return terminal.Clean(f.Name + ": " + f.Err.Error()) }

// Summary is what a run has done.
type Summary struct {
	Total, Done int // images, also those that failed
	Failed      []Failure
	Elapsed     time.Duration
}

// job is an image on its way.
type job struct {
	in     *Input
	done   chan struct{} // closed when answer or err is set
	answer *Answer
	err    error
}

// run is one call of Run.
type run struct {
	Options
	predictor Predictor
	stop      context.CancelCauseFunc
}

// Run predicts images and passes the results to the sink in the order of the inputs. An image that has no answer is a failure of the
// summary; the error is one that ended the run: ctx's, the sink's, or one that all images would have, such as a model that is not
// served. Then the images that were answered so far are with the sink.
func Run(ctx context.Context, p Predictor, inputs []Input, o Options) (Summary, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := &run{Options: o, predictor: p, stop: stop}
	// As many jobs may be done or waiting before the one that is written next.
	pending, work := make(chan *job, 4*o.Parallel), make(chan *job)
	var workers sync.WaitGroup
	for range o.Parallel {
		workers.Go(func() {
			var buffer []byte // predictors keep no image
			for j := range work {
				r.do(ctx, j, &buffer)
			}
		})
	}
	go dispatch(ctx, inputs, pending, work)
	summary := Summary{Total: len(inputs)}
	start := time.Now()
	o.Progress.Begin()
	var broken error // why the sink takes no more
	for j := range pending {
		<-j.done
		if broken != nil || j.err != nil && ctx.Err() != nil && !isAboutImage(j.err) {
			continue // it was not predicted to the end
		}
		if broken = r.write(&summary, j); broken != nil {
			stop(broken)
		}
	}
	workers.Wait()
	summary.Elapsed = time.Since(start)
	o.Progress.Clear()
	if broken == nil && summary.Done == summary.Total {
		return summary, nil
	}
	return summary, context.Cause(ctx)
}

// dispatch passes the images to the workers, in order, until ctx ends.
func dispatch(ctx context.Context, inputs []Input, pending, work chan<- *job) {
	defer close(pending)
	defer close(work)
	for i := range inputs {
		j := &job{in: &inputs[i], done: make(chan struct{})}
		select {
		case pending <- j:
		case <-ctx.Done():
			return
		}
		select {
		case work <- j:
		case <-ctx.Done():
			j.err = ctx.Err()
			close(j.done)
			return
		}
	}
}

// do predicts an image. A panic is its error.
func (r *run) do(ctx context.Context, j *job, buffer *[]byte) {
	defer close(j.done)
	j.err = panics.Catch(func() error { return r.answer(ctx, j, buffer) })
	if j.err == nil || ctx.Err() != nil {
		return
	}
	if _, ok := errors.AsType[*fatalError](j.err); ok {
		r.stop(j.err)
	}
}

// fatalError is one that ends the run.
type fatalError struct{ error }

func (f *fatalError) Unwrap() error { return f.error }

func (r *run) answer(ctx context.Context, j *job, buffer *[]byte) error {
	data, err := j.in.read(r.MaxBytes, buffer)
	if err != nil {
		return &imageError{err}
	}
	if len(data) == 0 {
		return &imageError{errors.New("the file is empty")}
	}
	if j.answer, err = r.predictor.Predict(ctx, data); err != nil {
		return classify(err)
	}
	if r.Annotate != "" {
		if err := r.annotate(ctx, j, data); err != nil {
			return err
		}
	}
	if r.Crop != "" {
		return r.crop(ctx, j, data)
	}
	return nil
}

// imageError is one that other images do not have.
type imageError struct{ error }

func (e *imageError) Unwrap() error { return e.error }

func isAboutImage(err error) bool {
	_, ok := errors.AsType[*imageError](err)
	return ok
}

// classify marks a predictor's error as one of the image or of all.
func classify(err error) error {
	if code := apierror.From(err).Code; code.AboutImage() || code == apierror.Internal || code == apierror.PoisonRequest || code == apierror.DeadlineExceeded {
		return &imageError{err}
	}
	return &fatalError{err}
}

// write passes a result to the sink and counts it. A fatal error is no result.
func (r *run) write(s *Summary, j *job) error {
	if _, ok := errors.AsType[*fatalError](j.err); ok {
		return nil
	}
	result := Result{Image: j.in.Name, Answer: j.answer, Err: j.err}
	if j.err != nil {
		result.Answer = nil
		s.Failed = append(s.Failed, Failure{j.in.Name, j.err})
	}
	s.Done++
	if r.Shared {
		r.Progress.Clear()
	}
	if err := r.Sink.Write(result); err != nil {
		return err
	}
	r.Progress.Update(s.Done, len(s.Failed))
	return nil
}
