package inference

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"time"

	"fovea/internal/repository"
	"fovea/postprocess"
)

// selfTestTime bounds the self-test of one device, which is one image.
const selfTestTime = 2 * time.Minute

// selfTest sends the definition's image, or a made one, the whole way on every device. The outputs must be
// finite, and the answer what the definition says.
func (v *version) selfTest(ctx context.Context) error {
	img, err := v.testImage()
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, selfTestTime, fmt.Errorf("no answer within %s", selfTestTime))
	defer cancel()
	for i := range v.scheduler.lanes {
		err := v.selfTestLane(ctx, i, img)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if err != nil {
			return fmt.Errorf("self-test on %s: %w", v.scheduler.lanes[i].device, err)
		}
	}
	return nil
}

// selfTestLane tests one device through a scheduler that sees only its lane.
func (v *version) selfTestLane(ctx context.Context, i int, img []byte) error {
	s := v.scheduler
	all := s.lanes
	s.mu.Lock()
	s.lanes = all[i : i+1] // nobody else uses the version yet
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.lanes = all
		s.mu.Unlock()
	}()
	response, err := v.predict(ctx, Request{Image: img}, finite)
	if err != nil {
		return err
	}
	return v.expected(response.Prediction)
}

func (v *version) testImage() ([]byte, error) {
	if v.definition.SelfTest.Image != "" {
		return v.entry.SelfTestImage()
	}
	return madeImage()
}

// madeImage is a PNG of smooth colours.
func madeImage() ([]byte, error) {
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

// expected says whether the answer is what the definition asks for.
func (v *version) expected(p postprocess.Prediction) error {
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
	case *postprocess.Detected:
		for _, box := range p.Boxes {
			if box.Label == want.Label {
				label, score = box.Label, max(score, box.Score)
			}
		}
	}
	if label != want.Label {
		return fmt.Errorf("%s must show %q, but the answer is %q", want.Image, want.Label, label)
	}
	if score < want.MinScore {
		return fmt.Errorf("%s must show %q with a score of %g at least, but the score is %.4f",
			want.Image, want.Label, want.MinScore, score)
	}
	return nil
}

// finite says whether the outputs are free of NaN and infinities.
func finite(outputs []postprocess.Tensor) error {
	for _, t := range outputs {
		for i := 0; i < len(t.Data); i += t.DType.Size() {
			if !finiteElement(t.DType, t.Data[i:]) {
				return fmt.Errorf("output %q holds a value that is no finite number", t.Name)
			}
		}
	}
	return nil
}

func finiteElement(d repository.DType, at []byte) bool {
	switch d {
	case repository.Float32:
		f := float64(math.Float32frombits(binary.NativeEndian.Uint32(at)))
		return !math.IsNaN(f) && !math.IsInf(f, 0)
	case repository.Float64:
		f := math.Float64frombits(binary.NativeEndian.Uint64(at))
		return !math.IsNaN(f) && !math.IsInf(f, 0)
	case repository.Float16:
		return binary.NativeEndian.Uint16(at)&0x7C00 != 0x7C00 // the exponent of NaN and infinity
	default: // whole numbers
		return true
	}
}
