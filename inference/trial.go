package inference

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"fovea/inference/batcher"
	"fovea/inference/onnx"
	"fovea/postprocess"
)

// trials is the number of trial runs at load, with synthetic images, that check the definition against the outputs. The
// first of them also find the shapes that the ONNX file leaves open.
const trials = len(trialSides)

// trialSides are the sides on which the image of each trial has something to see.
var trialSides = [...]postprocess.Side{0: postprocess.Everywhere, 1: postprocess.Everywhere, 2: postprocess.Everywhere, 3: postprocess.Everywhere,
	onnx.Trials: postprocess.Left, postprocess.Right, postprocess.Top, postprocess.Bottom}

// maxTrialTime is the time after which no further trial run begins.
const maxTrialTime = 5 * time.Second

// writeTrial writes a row of an input for a trial.
func (v *version) writeTrial(trial, input, _ int, memory []byte) {
	for _, x := range v.extras {
		if x.input == input {
			x.write(memory, v.trialTransform(trial))
		}
	}
	if input == v.image {
		size := v.trialSize(trial)
		v.plan.PackPixels(trialImage(trial, size.X, size.Y), size.X, memory)
	}
}

// trialImage is an image of w×h pixels, three bytes (blue, green, red) each, the same at every load: black, noise, a
// scene, a gradient, or coarse noise in the third of the image on one side.
func trialImage(trial, w, h int) []byte {
	const blocks = 40 // of coarse noise, in a row
	pixels := make([]byte, 3*w*h)
	random := rand.New(rand.NewPCG(uint64(trial), 1)) //nolint:gosec // the same at every load
	coarse := make([]byte, 3*blocks*blocks)
	for i := range coarse {
		coarse[i] = byte(random.UintN(256))
	}
	for i := range pixels {
		x, y, c := i/3%w, i/3/w, i%3
		switch {
		case trial == 0:
		case trial == 1:
			pixels[i] = byte(random.UintN(256))
		case trial == 2:
			pixels[i] = scene(x*256/w, y*256/h, c)
		case trial == 3:
			pixels[i] = byte([...]int{x * 255 / w, y * 255 / h, (x + y) * 255 / (w + h)}[c])
		case onSide(trialSides[trial], x*3/w, y*3/h):
			pixels[i] = coarse[3*(x*blocks/w+blocks*(y*blocks/h))+c]
		default:
			pixels[i] = 118
		}
	}
	return pixels
}

// onSide reports whether a ninth of an image, by its column and line, is on a side.
func onSide(side postprocess.Side, column, line int) bool {
	return [...]bool{postprocess.Left: column == 0, postprocess.Right: column == 2, postprocess.Top: line == 0, postprocess.Bottom: line == 2}[side]
}

// scene is a disc and two rectangles on a plain background of 256×256 pixels.
func scene(x, y, c int) byte {
	switch dx, dy := x-180, y-90; {
	case dx*dx+dy*dy < 50*50:
		return [...]byte{40, 60, 220}[c]
	case x > 20 && x < 110 && y > 60 && y < 230:
		return [...]byte{200, 120, 40}[c]
	case x > 140 && x < 240 && y > 180 && y < 220:
		return [...]byte{30, 210, 240}[c]
	}
	return [...]byte{150, 160, 140}[c]
}

// checkDefinition checks the definition against the outputs of trial runs. What is certainly wrong is the error; what may
// be wrong, and a trial run that fails, is a warning. The end of ctx terminates it, with an error.
func (v *version) checkDefinition(ctx context.Context, g *batcher.Group) error {
	check := postprocess.NewTrialCheck(v.decoder)
	rows, runner, start := g.Buckets()[0], g.Runner(), time.Now()
	for trial := 0; trial < trials && (trial < 2 || time.Since(start) < maxTrialTime); trial += rows {
		if err := v.reshape(runner, v.trialSize(trial)); err != nil {
			return fmt.Errorf("trial run on %s: %w", g.Device(), err)
		}
		for row := range rows {
			for input := range v.inputs {
				v.writeTrial((trial+row)%trials, input, row, runner.Input(input, row))
			}
		}
		if err := runner.Run(ctx, rows); err != nil {
			if onnx.IsDeviceLost(err) || ctx.Err() != nil {
				return fmt.Errorf("trial run on %s: %w", g.Device(), err)
			}
			v.noteFailedTrial(err)
			continue
		}
		for row := range rows {
			check.Add(runner.Outputs(row), v.trialTransform((trial+row)%trials), trialSides[(trial+row)%trials])
		}
	}
	findings := check.Findings()
	v.warnings = append(v.warnings, findings.Warnings...)
	if !v.entry.Inferred.Knows("input.scale") {
		v.doubts, v.warnings = findings.Doubts, append(v.warnings, findings.Doubts...)
	}
	for _, warning := range v.warnings {
		v.shared.log.Warn("the definition may be wrong", "model", v.model, "version", v.name, "warning", warning)
	}
	return errors.Join(findings.Errors...)
}
