package inference

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"fovea/inference/onnx"
	"fovea/postprocess"
	"fovea/preprocess/geometry"
)

// trials is how many made images a model is run with when it is loaded, to hold its definition against the outputs. The
// first of them also find the shapes that the ONNX file leaves open.
const trials = len(trialSides)

// trialSides say on which side of the image of each trial something is to be seen.
var trialSides = [...]postprocess.Side{0: postprocess.Everywhere, 1: postprocess.Everywhere, 2: postprocess.Everywhere, 3: postprocess.Everywhere,
	onnx.Trials: postprocess.Left, postprocess.Right, postprocess.Top, postprocess.Bottom}

// trialTime is how long trial runs go on at load: a run that would begin later is left out.
const trialTime = 5 * time.Second

// trialFit is how the image of a trial lies in the input: it is taken for one that was stretched from three times the width
// and twice the height, so that pixels of the image, of the input, and widths and heights are told apart.
func (v *version) trialFit() geometry.Transform {
	in := v.definition.Input
	return geometry.Transform{Width: 3 * in.Width, Height: 2 * in.Height, InputW: in.Width, InputH: in.Height, ScaleX: 1.0 / 3, ScaleY: 0.5}
}

// writeTrial writes a row of an input for a trial.
func (v *version) writeTrial(trial, input, _ int, memory []byte) {
	for _, x := range v.extras {
		if x.input == input {
			x.write(memory, v.trialFit())
		}
	}
	if input == v.image {
		in := v.definition.Input
		v.plan.PackPixels(trialImage(trial, in.Width, in.Height), memory)
	}
}

// trialImage is an image of w×h pixels, three bytes (blue, green, red) each, always the same: black, noise, a scene, a
// gradient, and coarse noise in a third of the image on one side.
func trialImage(trial, w, h int) []byte {
	const blocks = 40 // of coarse noise, in a row
	pixels := make([]byte, 3*w*h)
	random := rand.New(rand.NewPCG(uint64(trial), 1)) //nolint:gosec // the same in every load
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
		case on(trialSides[trial], x*3/w, y*3/h):
			pixels[i] = coarse[3*(x*blocks/w+blocks*(y*blocks/h))+c]
		default:
			pixels[i] = 118
		}
	}
	return pixels
}

// on says whether a ninth of an image, by its column and line, is on a side.
func on(side postprocess.Side, column, line int) bool {
	switch side {
	case postprocess.Left:
		return column == 0
	case postprocess.Right:
		return column == 2
	case postprocess.Top:
		return line == 0
	}
	return line == 2
}

// scene is a few things on a plain ground, in a field of 256×256: a disc and two rectangles.
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

// examine runs the model with made images and holds its definition against the outputs. What is certainly wrong is the
// error; what may be is kept as a warning. A trial that fails is one, too. The end of ctx ends it, with an error.
func (v *version) examine(ctx context.Context, l *lane) error {
	examination := postprocess.NewTrialCheck(v.decoder)
	rows := l.buckets[0]
	start, b := time.Now(), l.all[0]
	for trial := 0; trial < trials && (trial < 2 || time.Since(start) < trialTime); trial += rows {
		for row := range rows {
			for input := range b.inputs {
				v.writeTrial((trial+row)%trials, input, row, b.runner.Input(input, row))
			}
		}
		if err := b.runner.Run(ctx, rows); err != nil {
			if onnx.IsDeviceLost(err) || ctx.Err() != nil {
				return fmt.Errorf("trial run on %s: %w", l.device, err)
			}
			if warning := fmt.Sprintf("a trial run with a made image failed: %v", err); !slices.Contains(v.warnings, warning) {
				v.warnings = append(v.warnings, warning)
			}
			continue
		}
		for row := range rows {
			examination.Add(b.runner.Outputs(row), v.trialFit(), trialSides[(trial+row)%trials])
		}
	}
	findings := examination.Findings()
	v.warnings = append(v.warnings, findings.Warnings...)
	for _, warning := range v.warnings {
		v.shared.log.Warn("the definition may be wrong", "model", v.model, "version", v.name, "warning", warning)
	}
	return errors.Join(findings.Errors...)
}
