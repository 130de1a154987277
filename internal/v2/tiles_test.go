package v2

import (
	"bytes"
	"image"
	"image/png"
	"slices"
	"testing"
)

// TestTilesOfImageViews sends an image of three tiles; the model finds the same two objects in each.
func TestTilesOfImageViews(t *testing.T) {
	s, _ := newServer(t, testLimits)
	var wide bytes.Buffer
	if err := png.Encode(&wide, image.NewGray(image.Rect(0, 0, 96, 32))); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		given Parameters
		want  []byte
	}{
		"no tiles":           {Parameters{}, ints(2)},
		"tiles":              {Parameters{"tile": int64(32), "overlap": 0.0, "whole_image": false}, ints(5)}, // of 6, which the outputs have no room for
		"texts":              {Parameters{"tile": "32", "overlap": "0", "whole_image": "false", "classes": "0"}, ints(3)},
		"a width and height": {Parameters{"tile": "48x32", "overlap": int64(0), "whole_image": false, "merge": "nms"}, ints(4)},
	} {
		c.given["score_threshold"] = 0.4
		got, err := s.Infer(t.Context(), &Request{Model: "boxes.image", Body: wide.Bytes(), Parameters: c.given})
		if err != nil || !bytes.Equal(got.Outputs[0].Data, c.want) {
			t.Errorf("%s: %v, %v", what, got, err)
			continue
		}
		if what == "texts" {
			boxes := floats(4, 8, 20, 24, 36, 8, 52, 24, 68, 8, 84, 24)
			if !slices.Equal(got.Outputs[1].Data[:len(boxes)], boxes) {
				t.Errorf("%s: boxes %v", what, got.Outputs[1].Data)
			}
		}
	}
}
