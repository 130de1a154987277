package preprocess

import (
	"math"
	"strings"
	"testing"

	"fovea/models"
)

func TestAllMistakesOfAnInputAreNamedAtOnce(t *testing.T) {
	_, err := NewPlan(models.Input{
		Width: 0, Height: 4, Resize: "squash", Place: "left", Fill: []float64{300}, Interpolation: "magic", Color: "hsv",
		Scale: math.NaN(), Mean: []float64{1, 2}, Std: []float64{0}, Layout: "chw", DType: models.Int64,
	})
	if err == nil {
		t.Fatal("was accepted")
	}
	for _, key := range []string{"width", "resize", "place", "fill", "interpolation", "color", "scale", "mean", "std", "layout", "dtype"} {
		if !strings.Contains(err.Error(), "input."+key) {
			t.Errorf("input.%s is not named in:\n%v", key, err)
		}
	}
}

func TestShortestEdgeMustCoverTheInput(t *testing.T) {
	in := bytesInput(32, 24)
	in.Resize, in.ShortestEdge = models.ShortestEdge, 31
	if _, err := NewPlan(in); err == nil || !strings.Contains(err.Error(), "input.shortest_edge is 31; allowed are 32") {
		t.Error(err)
	}
}

func TestEveryInterpolationResizes(t *testing.T) {
	data := read(t, "testdata", "coffee.jpg")
	in := bytesInput(64, 64)
	linear := prepared(t, mustPlan(t, in), data)
	for name, most := range map[string]float64{"nearest": 20, "area": 0.01, "cubic": 3, "lanczos": 3} {
		in.Interpolation = name
		row := prepared(t, mustPlan(t, in), data)
		if mean, _ := difference(row, linear); mean > most {
			t.Errorf("%s differs from linear by %.2f in the mean", name, mean)
		}
	}
}
