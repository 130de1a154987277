package inference

import (
	"context"
	"fmt"
	"image"
	"slices"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// inputShapes are the shapes of one row of the inputs, where that of the image has size pixels.
func (v *version) inputShapes(size image.Point) [][]int64 {
	shapes := make([][]int64, len(v.inputs))
	shapes[v.image] = imageShape(v.definition.Input, len(v.inputs[v.image].Shape), size)
	for _, x := range v.extras {
		shapes[x.input] = x.shape(size)
	}
	return shapes
}

// imageShape is the shape of one row of an image input of dimensions dimensions in the file. One of three has no batch
// dimension, or if it is gray, none for the channel.
func imageShape(in repository.Input, dimensions int, size image.Point) []int64 {
	h, w, channels := int64(size.Y), int64(size.X), int64(in.Channels())
	switch {
	case dimensions == 3 && channels == 1:
		return []int64{h, w}
	case in.Layout == "nhwc":
		return []int64{h, w, channels}
	}
	return []int64{channels, h, w}
}

// reshaper sets the shape of an input of open size: a batcher.Handle or a batcher.Runner.
type reshaper interface {
	Reshape(input int, shape []int64) error
}

// reshape makes room for an image input of size pixels, and a mask of these. It does nothing where the definition fixes the size.
func (v *version) reshape(r reshaper, size image.Point) error {
	if !v.definition.Input.Dynamic() {
		return nil
	}
	for _, x := range v.extras {
		if !x.isOpen() {
			continue
		}
		if err := r.Reshape(x.input, x.shape(size)); err != nil {
			return err
		}
	}
	return r.Reshape(v.image, imageShape(v.definition.Input, len(v.inputs[v.image].Shape), size))
}

// trialSizes are the sizes of images in trial runs of a model whose input has the size of the image: small ones, of different
// aspect ratios.
var trialSizes = [...]image.Point{{X: 640, Y: 480}, {X: 480, Y: 640}, {X: 480, Y: 480}, {X: 640, Y: 352}}

// trialTransform is the transform of a trial: as if the image had been scaled down from three times the width and twice the
// height, to tell pixels of the image from those of the input, and widths from heights. Where the input's size depends on
// the image, it is that of an image of one of trialSizes, or three times that if it is scaled.
func (v *version) trialTransform(trial int) geometry.Transform {
	in := v.definition.Input
	if !in.Dynamic() {
		return geometry.Transform{Width: 3 * in.Width, Height: 2 * in.Height, InputW: in.Width, InputH: in.Height, ScaleX: 1.0 / 3, ScaleY: 0.5}
	}
	size := trialSizes[trial%len(trialSizes)]
	switch in.Resize {
	case repository.NoResize:
	case repository.FitHeight: // lines of text
		size.X *= 12
	default:
		size = size.Mul(3)
	}
	return geometry.Resample(&in, geometry.Image{Width: size.X, Height: size.Y, Shrink: 1}).Transform
}

// trialSize is the size of the image input in a trial.
func (v *version) trialSize(trial int) image.Point {
	t := v.trialTransform(trial)
	return image.Pt(t.InputW, t.InputH)
}

// trialShapes gives each trial of a model of open size its shapes; nil for others.
func (v *version) trialShapes() func(trial int) [][]int64 {
	if !v.definition.Input.Dynamic() {
		return nil
	}
	return func(trial int) [][]int64 { return v.inputShapes(v.trialSize(trial)) }
}

// warmUp runs every bucket of a group with zeros, so that no request pays for the set-up of a first run. The
// largest goes first: smaller ones then find their memory in what its run left in the device's arena.
func (v *version) warmUp(ctx context.Context, g *batcher.Group) error {
	runner, buckets := g.Runner(), g.Buckets()
	for row := range buckets[len(buckets)-1] {
		for input := range v.inputs {
			clear(runner.Input(input, row))
		}
	}
	for range v.definition.Warmup {
		for _, rows := range slices.Backward(buckets) {
			err := runner.Run(ctx, rows)
			if separable(err) {
				return v.warmUpOnTrials(ctx, g, err)
			}
			if err != nil {
				return fmt.Errorf("warm-up on %s: %w", g.Device(), err)
			}
		}
	}
	return nil
}

// warmUpOnTrials runs every bucket with the images of trials, as some models fail when they find nothing: R-CNNs exported from
// torchvision, for example. failed is the error of a run with zeros, and returned if a bucket fails with all images.
func (v *version) warmUpOnTrials(ctx context.Context, g *batcher.Group, failed error) error {
	runner, buckets := g.Runner(), g.Buckets()
	for _, rows := range slices.Backward(buckets) {
		err := failed
		for trial := 1; trial < onnx.Trials && err != nil; trial++ {
			if err = v.writeTrialRows(runner, trial, rows); err == nil {
				err = runner.Run(ctx, rows)
			}
			if ctx.Err() != nil {
				return fmt.Errorf("warm-up on %s: %w", g.Device(), err)
			}
		}
		if err != nil {
			return fmt.Errorf("warm-up on %s: %w", g.Device(), failed)
		}
	}
	v.noteFailedTrial(failed)
	return nil
}

// writeTrialRows writes the image of a trial to the first rows rows of a batch.
func (v *version) writeTrialRows(runner batcher.Runner, trial, rows int) error {
	if err := v.reshape(runner, v.trialSize(trial)); err != nil {
		return err
	}
	for row := range rows {
		for input := range v.inputs {
			v.writeTrial(trial, input, row, runner.Input(input, row))
		}
	}
	return nil
}

// noteFailedTrial adds a warning that a run with a synthetic image failed, unless there is the same one. It reports whether it
// did.
func (v *version) noteFailedTrial(err error) bool {
	warning := fmt.Sprintf("a trial run with a synthetic image failed: %v", err)
	if slices.Contains(v.warnings, warning) {
		return false
	}
	v.warnings = append(v.warnings, warning)
	return true
}
