package inference

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"fovea/postprocess"
)

// holdAgainst wants a box of the same class with an IoU of 0.9 for each of the golden that an independent program
// made of the same image, decoding and resizing included (see postprocess/testdata/make.py), and no others.
func holdAgainst(t *testing.T, model string, boxes []postprocess.Box) {
	t.Helper()
	file, ok := map[string]string{"yolox-nano": "yolox-bus.json", "deimv2-atto": "boxes-bus.json"}[model]
	if !ok {
		return
	}
	data, err := os.ReadFile(filepath.Join("..", "postprocess", "testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct{ Boxes [][6]float64 } // class, score, corners
	if err := json.Unmarshal(data, &golden); err != nil {
		t.Fatal(err)
	}
	if len(boxes) != len(golden.Boxes) {
		t.Errorf("%s: %d boxes, want %d", model, len(boxes), len(golden.Boxes))
	}
	for _, want := range golden.Boxes {
		best := 0.0
		for _, b := range boxes {
			if b.Class == int(want[0]) {
				best = max(best, overlap([4]float64{b.X1, b.Y1, b.X2, b.Y2}, [4]float64(want[2:])))
			}
		}
		if best < 0.9 {
			t.Errorf("%s: the box nearest to %v has an IoU of %.3f: %+v", model, want, best, boxes)
		}
	}
}

// overlap is the intersection of two boxes over their union.
func overlap(a, b [4]float64) float64 {
	area := func(r [4]float64) float64 { return max(0, r[2]-r[0]) * max(0, r[3]-r[1]) }
	both := area([4]float64{max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])})
	return both / (area(a) + area(b) - both)
}
