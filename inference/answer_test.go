package inference

import (
	"reflect"
	"testing"

	"fovea/internal/verify"
	"fovea/postprocess"
)

// TestAnswersHaveTheBoxesOfAllTasks that find objects.
func TestAnswersHaveTheBoxesOfAllTasks(t *testing.T) {
	box := postprocess.Box{Class: 2, Label: "dog", Score: 0.5, X1: 1, Y1: 2, X2: 30, Y2: 40}
	frame := postprocess.Frame{Width: 100, Height: 50}
	boxes := &verify.Answer{Width: 100, Height: 50, Boxes: []verify.Box{{Class: verify.Class{Number: 2, Label: "dog", Score: 0.5}, X1: 1, Y1: 2, X2: 30, Y2: 40}}}
	for what, c := range map[string]struct {
		prediction postprocess.Prediction
		want       *verify.Answer
	}{
		"classes":       {&postprocess.Classified{Top: []postprocess.Class{{Class: 1, Label: "cat", Score: 0.9}}}, &verify.Answer{Classes: []verify.Class{{Number: 1, Label: "cat", Score: 0.9}}}},
		"boxes":         {&postprocess.Detected{Width: 100, Height: 50, Boxes: []postprocess.Box{box}}, boxes},
		"rotated boxes": {&postprocess.Oriented{Frame: frame, Boxes: []postprocess.OrientedBox{{Box: box, Angle: 1}}}, boxes},
		"masks":         {&postprocess.Segmented{Frame: frame, Boxes: []postprocess.Instance{{Box: box}}}, boxes},
		"points":        {&postprocess.Posed{Frame: frame, Boxes: []postprocess.PosedBox{{Box: box}}}, boxes},
		"a vector":      {&postprocess.Embedded{}, &verify.Answer{}},
	} {
		if got := AnswerOf(c.prediction); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, want %+v", what, got, c.want)
		}
	}
}
