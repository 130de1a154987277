package postprocess

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"strings"
	"testing"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// square is an image of 100×100 that is the model's input.
var square = geometry.Transform{Width: 100, Height: 100, InputW: 100, InputH: 100, ScaleX: 1, ScaleY: 1}

func detector(change func(o *repository.Output)) repository.Definition {
	d := repository.Definition{Task: repository.Detection, Labels: []string{"cat", "dog"}, LabelsFile: "labels.txt",
		Output: repository.Output{Decode: repository.DecodeBoxes, Boxes: "b", Scores: "s", BoxSpace: repository.SpaceOriginal}}
	change(&d.Output)
	return d.WithDefaults()
}

func find(t *testing.T, d repository.Definition, transform geometry.Transform, p Params, outputs ...Tensor) []Box {
	t.Helper()
	answer, err := newDecoder(t, d, outputs).Decode(outputs, transform, p)
	if err != nil {
		t.Fatal(err)
	}
	return answer.(*Detected).Boxes
}

func TestBoxesInEverySpaceAndFormat(t *testing.T) {
	// The image of 200×100 lies in the middle of an input of 100×80, at half size.
	transform := geometry.Transform{Width: 200, Height: 100, InputW: 100, InputH: 80, ScaleX: 0.5, ScaleY: 0.5, OffsetY: 15}
	for name, c := range map[string]struct {
		space, format string
		box           [4]float32
	}{
		"original corners": {repository.SpaceOriginal, repository.BoxXYXY, [4]float32{20, 10, 60, 50}},
		"original center":  {repository.SpaceOriginal, repository.BoxCXCYWH, [4]float32{40, 30, 40, 40}},
		"input corners":    {repository.SpaceInput, repository.BoxXYXY, [4]float32{10, 20, 30, 40}},
		"input center":     {repository.SpaceInput, repository.BoxCXCYWH, [4]float32{20, 30, 20, 20}},
		"unit corners":     {repository.SpaceUnit, repository.BoxXYXY, [4]float32{0.1, 0.25, 0.3, 0.5}},
		"unit center":      {repository.SpaceUnit, repository.BoxCXCYWH, [4]float32{0.2, 0.375, 0.2, 0.25}},
	} {
		t.Run(name, func(t *testing.T) {
			d := detector(func(o *repository.Output) { o.BoxSpace, o.BoxFormat = c.space, c.format })
			got := find(t, d, transform, Params{}, tensor("b", []int64{1, 4}, c.box[:]...), tensor("s", []int64{1, 2}, 0.1, 0.9))
			if len(got) != 1 || got[0].Class != 1 || got[0].Label != "dog" {
				t.Fatalf("boxes %+v", got)
			}
			want := rect{20, 10, 60, 50}
			if same := iou(rect{got[0].X1, got[0].Y1, got[0].X2, got[0].Y2}, want); same < 0.99999 {
				t.Errorf("box %+v, want %+v", got[0], want)
			}
		})
	}
}

func TestBoxesAreClippedAndEmptyOnesDropped(t *testing.T) {
	d := detector(func(*repository.Output) {})
	got := find(t, d, square, Params{}, tensor("b", []int64{4, 4},
		-10, -10, 50, 150, // beyond the image
		200, 200, 300, 300, // outside of it
		50, 50, 50, 90, // no width
		90, 90, 10, 10, // turned round
	), tensor("s", []int64{4, 2}, 0.9, 0, 0.8, 0, 0.7, 0, 0.6, 0))
	if len(got) != 1 || got[0].X1 != 0 || got[0].Y1 != 0 || got[0].X2 != 50 || got[0].Y2 != 100 {
		t.Errorf("boxes %+v", got)
	}
}

func TestBoxesAreBestFirstAndLimited(t *testing.T) {
	d := detector(func(o *repository.Output) { o.MaxBoxes = 2 })
	got := find(t, d, square, Params{}, tensor("b", []int64{3, 4}, 0, 0, 9, 9, 20, 0, 29, 9, 40, 0, 49, 9),
		tensor("s", []int64{3, 2}, 0.5, 0, 0.9, 0, 0.7, 0))
	if len(got) != 2 || got[0].X1 != 20 || got[1].X1 != 40 {
		t.Errorf("boxes %+v", got)
	}
}

func TestNoBoxesIsAnEmptyList(t *testing.T) {
	d := detector(func(*repository.Output) {})
	outputs := []Tensor{tensor("b", []int64{0, 4}), tensor("s", []int64{0, 2})}
	bare := []Tensor{{Name: "b", DType: repository.Float32, Shape: []int64{-1, 4}}, {Name: "s", DType: repository.Float32, Shape: []int64{-1, 2}}}
	answer, err := newDecoder(t, d, bare).Decode(outputs, square, Params{})
	if err != nil {
		t.Fatal(err)
	}
	if text, _ := json.Marshal(answer); string(text) != `{"boxes":[],"width":100,"height":100}` {
		t.Errorf("answer is %s", text)
	}
}

func TestThresholdsOfTheRequestWin(t *testing.T) {
	d := detector(func(o *repository.Output) { o.IoU = 0.5 })
	outputs := []Tensor{tensor("b", []int64{3, 4}, 0, 0, 10, 10, 0, 0, 10, 6, 50, 50, 60, 60),
		tensor("s", []int64{3, 2}, 0.9, 0, 0.8, 0, 0.2, 0)}
	v := func(f float64) *float64 { return &f }
	for name, c := range map[string]struct {
		p    Params
		want int
	}{
		"those of the definition": {Params{}, 1},
		"a lower score":           {Params{Score: v(0.1)}, 2},
		"a higher score":          {Params{Score: v(0.95)}, 0},
		"a higher IoU":            {Params{IoU: v(0.7)}, 2},
		"both":                    {Params{IoU: v(0.7), Score: v(0)}, 3},
	} {
		if got := find(t, d, square, c.p, outputs...); len(got) != c.want {
			t.Errorf("%s: %d boxes, want %d: %+v", name, len(got), c.want, got)
		}
	}
}

// TestARequestDoesNotSwitchSuppressionOn: any iou_threshold is rejected if the definition has no suppression, and accepted
// otherwise.
func TestARequestDoesNotSwitchSuppressionOn(t *testing.T) {
	outputs := []Tensor{tensor("b", []int64{2, 4}, 0, 0, 9, 9, 0, 0, 9, 9), tensor("s", []int64{2, 2}, 0.9, 0, 0.9, 0)}
	for _, iou := range []float64{0, 0.3, 1, 7} {
		d := newDecoder(t, detector(func(*repository.Output) {}), outputs)
		_, err := d.Decode(outputs, square, Params{IoU: &iou})
		if f := apierror.From(err); err == nil || f.Code != apierror.InvalidParameter || !strings.Contains(f.Message, "score_threshold") {
			t.Errorf("iou_threshold %v: %v", iou, err)
		}
		d = newDecoder(t, detector(func(o *repository.Output) { o.IoU = 0.5 }), outputs)
		if _, err := d.Decode(outputs, square, Params{IoU: &iou}); (err == nil) != (iou <= 1) {
			t.Errorf("with suppression, iou_threshold %v: %v", iou, err)
		}
	}
}

func TestWithoutAnIoUThresholdNothingIsSuppressed(t *testing.T) {
	d := detector(func(*repository.Output) {})
	outputs := []Tensor{tensor("b", []int64{2, 4}, 0, 0, 9, 9, 0, 0, 9, 9), tensor("s", []int64{2, 2}, 0.9, 0, 0.9, 0)}
	if got := find(t, d, square, Params{}, outputs...); len(got) != 2 {
		t.Errorf("boxes %+v", got)
	}
}

func TestClassesComeFromTheirOwnOutput(t *testing.T) {
	for name, dtype := range map[string]repository.DType{"int64": repository.Int64, "int32": repository.Int32, "float32": repository.Float32,
		"float16": repository.Float16, "uint8": repository.Uint8, "float64": repository.Float64, "int8": repository.Int8, "int16": repository.Int16,
		"uint16": repository.Uint16, "uint32": repository.Uint32, "uint64": repository.Uint64} {
		t.Run(name, func(t *testing.T) {
			d := detector(func(o *repository.Output) { o.Classes, o.ClassFirst = "c", 1 })
			classes := Tensor{"c", dtype, []int64{3}, encode(dtype, 2, 0, 1)} // 0 is background
			got := find(t, d, square, Params{}, tensor("b", []int64{3, 4}, 0, 0, 9, 9, 20, 0, 29, 9, 40, 0, 49, 9),
				tensor("s", []int64{3}, 0.9, 0.8, 0.7), classes)
			if len(got) != 2 || got[0].Label != "dog" || got[1].Label != "cat" || got[1].X1 != 40 {
				t.Errorf("boxes %+v", got)
			}
		})
	}
}

// encode writes small whole numbers of one dtype.
func encode(dtype repository.DType, values ...int) []byte {
	var data []byte
	for _, v := range values {
		switch dtype {
		case repository.Int64:
			data = append(data, byte(v), 0, 0, 0, 0, 0, 0, 0)
		case repository.Int32:
			data = append(data, byte(v), 0, 0, 0)
		case repository.Uint8, repository.Int8:
			data = append(data, byte(v))
		case repository.Uint16, repository.Int16:
			data = append(data, byte(v), 0)
		case repository.Uint32:
			data = append(data, byte(v), 0, 0, 0)
		case repository.Uint64:
			data = append(data, byte(v), 0, 0, 0, 0, 0, 0, 0)
		case repository.Float64:
			data = binary.NativeEndian.AppendUint64(data, math.Float64bits(float64(v)))
		case repository.Float32:
			data = append(data, tensor("", nil, float32(v)).Data...)
		case repository.Float16:
			data = append(data, [3][]byte{{0, 0}, {0, 0x3c}, {0, 0x40}}[v]...)
		}
	}
	return data
}

func TestBackgroundColumnIsLeftOut(t *testing.T) {
	d := detector(func(o *repository.Output) { o.ClassFirst = 1 })
	got := find(t, d, square, Params{}, tensor("b", []int64{1, 4}, 0, 0, 9, 9), tensor("s", []int64{1, 3}, 0.6, 0, 0.4))
	if len(got) != 1 || got[0].Label != "dog" || math.Abs(got[0].Score-0.4) > 1e-6 {
		t.Errorf("boxes %+v", got)
	}
}

func TestYOLOXFindsTheCell(t *testing.T) {
	// An input of 64×32 with strides 16 and 32: cells 0–7 in two lines of four, then 8 and 9 in one line.
	d := repository.Definition{Task: repository.Detection, Labels: []string{"cat", "dog"},
		Input: repository.Input{Width: 64, Height: 32}, Output: repository.Output{Decode: repository.DecodeYOLOX, Strides: []int{16, 32}}}.WithDefaults()
	transform := geometry.Transform{Width: 64, Height: 32, InputW: 64, InputH: 32, ScaleX: 1, ScaleY: 1}
	for cell, want := range map[int]rect{ // center (0.5, 0.5) of the cell, half its size
		0: {4, 4, 12, 12}, 3: {52, 4, 60, 12}, 6: {36, 20, 44, 28}, 9: {40, 8, 56, 24},
	} {
		values := make([]float32, 10*7)
		copy(values[cell*7:], []float32{0.5, 0.5, float32(math.Log(0.5)), float32(math.Log(0.5)), 0.8, 0.1, 0.9})
		got := find(t, d, transform, Params{}, tensor("y", []int64{1, 10, 7}, values...))
		if len(got) != 1 || got[0].Class != 1 || math.Abs(got[0].Score-0.72) > 1e-6 {
			t.Errorf("cell %d: boxes %+v", cell, got)
			continue
		}
		if same := iou(rect{got[0].X1, got[0].Y1, got[0].X2, got[0].Y2}, want); same < 0.99999 {
			t.Errorf("cell %d: box %+v, want %+v", cell, got[0], want)
		}
	}
}

// TestYOLOXOfOpenSize: the grid is that of the input that the image was given, not of the definition's limits.
func TestYOLOXOfOpenSize(t *testing.T) {
	d := repository.Definition{Task: repository.Detection, Labels: []string{"cat", "dog"},
		Input:  repository.Input{Width: 640, Height: 640, Resize: repository.Letterbox, Stride: 32},
		Output: repository.Output{Decode: repository.DecodeYOLOX, Strides: []int{16, 32}}}.WithDefaults()
	decoder, err := New(d, []Tensor{{Name: "y", DType: repository.Float32, Shape: []int64{1, -1, 7}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ w, h, cell int }{{64, 32, 6}, {32, 64, 4}, {96, 64, 14}} {
		n := c.w*c.h/256 + c.w*c.h/1024
		values := make([]float32, n*7)
		copy(values[c.cell*7:], []float32{0.5, 0.5, 0, 0, 0.8, 0.1, 0.9})
		transform := geometry.Transform{Width: c.w, Height: c.h, InputW: c.w, InputH: c.h, ScaleX: 1, ScaleY: 1}
		p, err := decoder.Decode([]Tensor{tensor("y", []int64{1, int64(n), 7}, values...)}, transform, Params{})
		if err != nil {
			t.Fatal(err)
		}
		x, y := float64(c.cell%(c.w/16)*16), float64(c.cell/(c.w/16)*16)
		if got := p.(*Detected).Boxes; len(got) != 1 || got[0].X1 != x || got[0].Y1 != y || got[0].X2 != x+16 || got[0].Y2 != y+16 {
			t.Errorf("%d×%d: %+v, want a box at (%v, %v)", c.w, c.h, got, x, y)
		}
		if _, err := decoder.Decode([]Tensor{tensor("y", []int64{1, int64(n - 1), 7}, values[7:]...)}, transform, Params{}); err == nil {
			t.Errorf("%d×%d: a row too few is accepted", c.w, c.h)
		}
	}
}

// TestScoresAtTheThreshold uses numbers that are exact in float32.
func TestScoresAtTheThreshold(t *testing.T) {
	const below = 0.49999997
	grid := repository.Definition{Task: repository.Detection, Labels: []string{"cat"}, Input: repository.Input{Width: 32, Height: 32},
		Output: repository.Output{Decode: repository.DecodeYOLOX, Strides: []int{32}, Score: 0.5}}.WithDefaults()
	list := detector(func(o *repository.Output) { o.Score = 0.5 })
	for name, c := range map[string]struct {
		objectness, class float32
		want              int
	}{
		"the class score is the threshold":    {1, 0.5, 1},
		"the class score is below":            {1, below, 0},
		"the objectness is the threshold":     {0.5, 1, 1},
		"the objectness is below":             {below, 1, 0},
		"only the product is below":           {0.75, 0.625, 0},
		"only the product is the threshold":   {0.625, 0.8, 1},
		"the product is the threshold itself": {0.75, 2.0 / 3, 1},
	} {
		got := find(t, grid, square, Params{}, tensor("y", []int64{1, 6}, 0.5, 0.5, 0, 0, c.objectness, c.class))
		if len(got) != c.want {
			t.Errorf("yolox, %s: %d boxes, want %d", name, len(got), c.want)
		}
	}
	for score, want := range map[float32]int{0.5: 1, below: 0} {
		if got := find(t, list, square, Params{}, tensor("b", []int64{1, 4}, 0, 0, 9, 9), tensor("s", []int64{1, 2}, score, 0)); len(got) != want {
			t.Errorf("boxes, score %v: %d boxes, want %d", score, len(got), want)
		}
	}
}

func TestScoresAreAtMostOne(t *testing.T) {
	d := detector(func(*repository.Output) {})
	got := find(t, d, square, Params{}, tensor("b", []int64{1, 4}, 0, 0, 9, 9), tensor("s", []int64{1, 2}, 1.005, 0)) // rounded in float16
	if len(got) != 1 || got[0].Score != 1 {
		t.Errorf("boxes %+v", got)
	}
}

// TestOverlapAtTheThreshold: boxes are suppressed only beyond it.
func TestOverlapAtTheThreshold(t *testing.T) {
	outputs := []Tensor{tensor("b", []int64{2, 4}, 0, 0, 10, 10, 0, 0, 10, 5), tensor("s", []int64{2, 2}, 0.9, 0, 0.8, 0)} // IoU 0.5
	for iou, want := range map[float64]int{0.5: 2, 0.49: 1} {
		if got := find(t, detector(func(o *repository.Output) { o.IoU = iou }), square, Params{}, outputs...); len(got) != want {
			t.Errorf("iou_threshold %v: %d boxes, want %d", iou, len(got), want)
		}
	}
}

func TestConcurrentDecodes(t *testing.T) {
	d, outputs, transform, _ := yoloxBus(t)
	decoder := newDecoder(t, d, outputs)
	want, err := decoder.Decode(outputs, transform, Params{})
	if err != nil {
		t.Fatal(err)
	}
	text, _ := json.Marshal(want)
	done := make(chan string)
	for range 8 {
		go func() {
			var last string
			for range 20 {
				got, err := decoder.Decode(outputs, transform, Params{})
				if err != nil {
					last = err.Error()
					break
				}
				b, _ := json.Marshal(got)
				last = string(b)
			}
			done <- last
		}()
	}
	for range 8 {
		if got := <-done; got != string(text) {
			t.Errorf("got %s, want %s", got, text)
		}
	}
}

// TestSmallImagesAreMapped: an image of one pixel, an input of one pixel, and scales below 1.
func TestSmallImagesAreMapped(t *testing.T) {
	d := detector(func(o *repository.Output) { o.BoxSpace = repository.SpaceInput })
	score := tensor("s", []int64{1, 2}, 0.9, 0)
	for _, transform := range []geometry.Transform{
		{Width: 1, Height: 1, InputW: 100, InputH: 100, ScaleX: 100, ScaleY: 100},
		{Width: 100, Height: 100, InputW: 1, InputH: 1, ScaleX: 0.01, ScaleY: 0.01},
	} {
		side := float32(transform.InputW)
		got := find(t, d, transform, Params{}, tensor("b", []int64{1, 4}, 0, 0, side, side), score)
		if len(got) != 1 || math.Abs(got[0].X2-float64(transform.Width)) > 1e-6 || math.Abs(got[0].Y2-float64(transform.Height)) > 1e-6 {
			t.Errorf("%+v: %+v", transform, got)
		}
	}
}
