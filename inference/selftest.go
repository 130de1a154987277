package inference

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"time"

	"fovea/inference/onnx"
	"fovea/postprocess"
)

// selfTestTimeout bounds the self-test, which is one image per device.
const selfTestTimeout = 2 * time.Minute

// selfTest predicts the definition's image, or a synthetic one, on every device. The outputs must be finite, and the
// prediction what the definition expects.
func (v *version) selfTest(ctx context.Context) error {
	img, err := v.testImage()
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, selfTestTimeout, fmt.Errorf("no prediction within %s", selfTestTimeout))
	defer cancel()
	for _, g := range v.groups {
		v.batcher.Isolate(g)
		response, err := v.predict(ctx, Request{Image: img}, checkFinite)
		if err == nil {
			err = v.checkExpected(response.Prediction)
		}
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if run, failed := errors.AsType[*onnx.RunError](err); failed && v.definition.SelfTest.Image == "" && !onnx.IsDeviceLost(err) {
			v.failedOnSynthetic(run) // it succeeded in a trial run
			continue
		}
		if err != nil {
			return fmt.Errorf("self-test on %s: %w", g.Device(), err)
		}
	}
	return nil
}

func (v *version) testImage() ([]byte, error) {
	if v.definition.SelfTest.Image != "" {
		return v.entry.SelfTestImage()
	}
	return syntheticImage()
}

// syntheticImage is a PNG with a color gradient.
func syntheticImage() ([]byte, error) {
	const w, h = 96, 64
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetNRGBA(x, y, color.NRGBA{uint8(255 * x / w), uint8(255 * y / h), uint8(255 * (x + y) / (w + h)), 255})
		}
	}
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return b.Bytes(), err
}

// failedOnSynthetic logs that the model fails on the synthetic image, as some do when they find nothing.
func (v *version) failedOnSynthetic(err error) {
	if v.noteFailedTrial(err) {
		v.shared.log.Warn("the model fails on some images", "model", v.model, "version", v.name, "error", err)
	}
}

// checkExpected checks the prediction against the definition's self_test.
func (v *version) checkExpected(p postprocess.Prediction) error {
	want := v.definition.SelfTest
	if want.Label == "" {
		return nil
	}
	label, score := "nothing", 0.0
	switch p := p.(type) {
	case *postprocess.Classified:
		if len(p.Top) > 0 {
			label, score = p.Top[0].Label, p.Top[0].Score
		}
	case *postprocess.Recognized:
		label, score = p.Text, p.Score
	case postprocess.Objects:
		for i := range p.Len() {
			if box := p.Box(i); box.Label == want.Label {
				label, score = box.Label, max(score, box.Score)
			}
		}
	}
	if label != want.Label {
		return fmt.Errorf("%s: expected label %q, got %q", want.Image, want.Label, label)
	}
	if score < want.MinScore {
		return fmt.Errorf("%s: expected a score of at least %g for %q, got %.4f", want.Image, want.MinScore, want.Label, score)
	}
	return nil
}

// checkFinite finds NaN and infinities in the outputs.
func checkFinite(outputs []postprocess.Tensor) error {
	for _, t := range outputs {
		if !t.IsFinite() {
			return fmt.Errorf("output %q contains NaN or an infinity", t.Name)
		}
	}
	return nil
}
