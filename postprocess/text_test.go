package postprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// textCases are those of testdata/text.json, made by make_text.py.
type textCases struct {
	Detections []detectionCase
	Sequences  []sequenceCase
}

type detectionCase struct {
	Name                     string
	Map                      string
	Shape                    [2]int64
	Width, Height            int
	Threshold, Score, Unclip float64
	Dilate                   bool
	Mode                     string
	Lines                    []TextLine
}

type sequenceCase struct {
	Name       string
	Characters []string
	Scores     [][]float32
	Text       string
	Score      float64
}

func (c *detectionCase) open(t testing.TB) (repository.Definition, []Tensor, geometry.Transform) {
	t.Helper()
	packed, err := base64.StdEncoding.DecodeString(c.Map)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zlib.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	values := make([]float32, len(data))
	for i, v := range data {
		values[i] = float32(v) / 255
	}
	w, h := int(c.Shape[1]), int(c.Shape[0])
	d := repository.Definition{Task: repository.TextDetection, Input: repository.Input{Resize: repository.Limit}}
	d.Output = repository.Output{Decode: repository.DecodeDB, Score: c.Score,
		Text: repository.TextOutput{MapThreshold: c.Threshold, Unclip: c.Unclip, Dilate: c.Dilate, ScoreMode: c.Mode}}
	return d.WithDefaults(), []Tensor{tensor("map", []int64{1, c.Shape[0], c.Shape[1]}, values...)},
		geometry.Transform{Width: c.Width, Height: c.Height, InputW: w, InputH: h, ScaleX: float64(w) / float64(c.Width), ScaleY: float64(h) / float64(c.Height)}
}

// TestTextDetectionGolden compares with RapidOCR, which rounds to float32 in between: corners may differ by a pixel of the map.
func TestTextDetectionGolden(t *testing.T) {
	for _, c := range golden[textCases](t, "text.json").Detections {
		t.Run(c.Name, func(t *testing.T) {
			d, outputs, transform := c.open(t)
			answer, err := newDecoder(t, d, outputs).Decode(outputs, transform, Params{})
			if err != nil {
				t.Fatal(err)
			}
			lines := answer.(*TextLines).Lines
			if len(lines) != len(c.Lines) {
				t.Fatalf("%d lines, want %d", len(lines), len(c.Lines))
			}
			near := math.Ceil(math.Max(1/transform.ScaleX, 1/transform.ScaleY))
			for i, want := range c.Lines {
				far := math.Abs(lines[i].Score-want.Score) * 500
				for k, corner := range want.Corners {
					far = max(far, math.Abs(lines[i].Corners[k][0]-corner[0])/near, math.Abs(lines[i].Corners[k][1]-corner[1])/near)
				}
				if far > 1 {
					t.Errorf("line %d: %+v, want %+v", i, lines[i], want)
				}
			}
		})
	}
}

func TestTextRecognitionGolden(t *testing.T) {
	for _, c := range golden[textCases](t, "text.json").Sequences {
		t.Run(c.Name, func(t *testing.T) {
			answer := c.read(t, c.Characters, c.Scores, "")
			if answer.Text != c.Text || math.Abs(answer.Score-c.Score) > 1e-5 {
				t.Errorf("%q with %v, want %q with %v", answer.Text, answer.Score, c.Text, c.Score)
			}
		})
	}
}

func (c *sequenceCase) read(t testing.TB, characters []string, scores [][]float32, activation string) *Recognized {
	t.Helper()
	var values []float32
	for _, step := range scores {
		values = append(values, step...)
	}
	outputs := []Tensor{tensor("y", []int64{int64(len(scores)), int64(len(scores[0]))}, values...)}
	d := repository.Definition{Task: repository.TextRecognition, Labels: characters, Output: repository.Output{Decode: repository.DecodeCTC, Activation: activation}}.WithDefaults()
	answer, err := newDecoder(t, d, outputs).Decode(outputs, geometry.Transform{}, Params{})
	if err != nil {
		t.Fatal(err)
	}
	return answer.(*Recognized)
}

func TestDictionaries(t *testing.T) {
	steps := [][]float32{{0.1, 0.8, 0.1, 0}, {0, 0, 0.1, 0.9}, {0.9, 0.1, 0, 0}, {0, 0.2, 0.7, 0.1}}
	c := sequenceCase{}
	if r := c.read(t, []string{"a", "b", "c"}, steps, ""); r.Text != "acb" || math.Abs(r.Score-0.8) > 1e-6 {
		t.Errorf("%+v", r)
	}
	if r := c.read(t, []string{"a", "b"}, steps, ""); r.Text != "a b" {
		t.Errorf("with a space at the end: %+v", r)
	}
	if r := c.read(t, []string{"xyz", "", " "}, steps, ""); r.Text != "xyz " {
		t.Errorf("characters of several letters, or of none: %+v", r)
	}
	logits := [][]float32{{0, 5, 1, 0}, {9, 0, 0, 0}}
	if r := c.read(t, []string{"a", "b", "c"}, logits, repository.ActivationSoftmax); r.Text != "a" || math.Abs(r.Score-math.Exp(5)/(math.Exp(5)+math.E+2)) > 1e-6 {
		t.Errorf("logits: %+v", r)
	}
}

// TestHighest compares with a loop, also where several are the highest.
func TestHighest(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n < 400; n++ {
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(random.IntN(n)) - 10
		}
		want := 0
		for i, v := range values {
			if v > values[want] {
				want = i
			}
		}
		if got := highest(values); got != want {
			t.Fatalf("%d of %d, want %d", got, n, want)
		}
	}
}

func textLine(x, y, score float64) TextLine {
	return TextLine{Score: score, Corners: [4][2]float64{{x, y}, {x + 5, y}, {x + 5, y + 5}, {x, y + 5}}}
}

func TestReadingOrder(t *testing.T) {
	lines := []TextLine{textLine(50, 9, 0), textLine(0, 30, 0), textLine(20, 12, 0), textLine(5, 18, 0), textLine(0, 0, 0)}
	sortLines(lines)
	for i, want := range [][2]float64{{0, 0}, {5, 18}, {20, 12}, {50, 9}, {0, 30}} {
		if lines[i].Corners[0] != want {
			t.Errorf("line %d begins at %v, want %v", i, lines[i].Corners[0], want)
		}
	}
}

func TestMostCertainLines(t *testing.T) {
	lines := func() []TextLine {
		return []TextLine{textLine(0, 0, 0.5), textLine(1, 0, 0.9), textLine(2, 0, 0.7), textLine(3, 0, 0.7), textLine(4, 0, 0.6)}
	}
	for most, want := range map[int][]float64{1: {1}, 2: {1, 2}, 3: {1, 2, 3}, 4: {1, 2, 3, 4}, 5: {0, 1, 2, 3, 4}, 9: {0, 1, 2, 3, 4}} {
		got := mostCertain(lines(), most)
		at := make([]float64, len(got))
		for i, l := range got {
			at[i] = l.Corners[0][0]
		}
		if !slices.Equal(at, want) {
			t.Errorf("of %d: %v, want %v", most, at, want)
		}
	}
}

// TestTextDetectionParameters uses the first case, whose best line has a score of about 0.8.
func TestTextDetectionParameters(t *testing.T) {
	c := golden[textCases](t, "text.json").Detections[0]
	d, outputs, transform := c.open(t)
	decoder := newDecoder(t, d, outputs)
	high := 0.79
	for what, of := range map[string]struct {
		p    Params
		want int
	}{"no parameter": {Params{}, 4}, "a score": {Params{Score: &high}, 1}, "a number of lines": {Params{MaxBoxes: 2}, 2}} {
		answer, err := decoder.Decode(outputs, transform, of.p)
		if err != nil || answer.(Objects).Len() != of.want {
			t.Errorf("%s: %v lines, want %d; %v", what, answer, of.want, err)
		}
	}
	much := 1.5
	for what, p := range map[string]Params{"top_k": {TopK: 1}, "score_threshold": {Score: &much}, "max_boxes": {MaxBoxes: 1001}, "classes": {Classes: []string{"a"}}, "iou_threshold": {IoU: &high}, "encoding": {Encoding: EncodingPNG}} {
		if _, err := decoder.Decode(outputs, transform, p); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestUnusableText has outputs that a definition does not fit, at load or when they are decoded.
func TestUnusableText(t *testing.T) {
	ctc := repository.Definition{Task: repository.TextRecognition, Labels: []string{"a", "b"}, LabelsFile: "dict.txt", Output: repository.Output{Decode: repository.DecodeCTC}}.WithDefaults()
	db := repository.Definition{Task: repository.TextDetection, Input: repository.Input{Resize: repository.Limit}, Output: repository.Output{Decode: repository.DecodeDB}}.WithDefaults()
	transform := geometry.Transform{Width: 4, Height: 4, InputW: 4, InputH: 4, ScaleX: 1, ScaleY: 1}
	nan := float32(math.NaN())
	for what, c := range map[string]struct {
		d       repository.Definition
		atLoad  []int64
		row     Tensor
		message string
	}{
		"too few characters":      {ctc, []int64{-1, 9}, Tensor{}, "dict.txt has 2 characters, but output \"y\" of model.onnx has 9 classes; want 3, or 4 if the last is a space"},
		"a map":                   {ctc, []int64{2, 3, 4}, Tensor{}, "want [steps,classes]"},
		"classes that open later": {ctc, []int64{-1, -1}, tensor("y", []int64{1, 2}, 1, 0), "has 2 classes"},
		"logits of characters":    {ctc, []int64{-1, 3}, tensor("y", []int64{1, 3}, 1, 7, 0), "output.activation: softmax"},
		"no number":               {ctc, []int64{-1, 3}, tensor("y", []int64{1, 3}, 1, nan, 0), "not finite"},
		"no step":                 {ctc, []int64{-1, 3}, tensor("y", []int64{0, 3}), "shape"},
		"a vector":                {db, []int64{9}, Tensor{}, "want [1,h,w] or [h,w]"},
		"logits of text":          {db, []int64{1, -1, -1}, tensor("y", []int64{1, 1, 2}, -4, 3), "output.activation: sigmoid"},
		"a map without a number":  {db, []int64{1, -1, -1}, tensor("y", []int64{1, 1, 2}, nan, 0), "not finite"},
		"an empty map":            {db, []int64{1, -1, -1}, tensor("y", []int64{1, 0, 2}), "shape"},
	} {
		decoder, err := New(c.d, []Tensor{{Name: "y", DType: repository.Float32, Shape: c.atLoad}})
		if err == nil {
			_, err = decoder.Decode([]Tensor{c.row}, transform, Params{})
		}
		if err == nil || !strings.Contains(fmt.Sprintf("%+v", errors.Join(err, errors.Unwrap(err))), c.message) {
			t.Errorf("%s: %v, want %q", what, err, c.message)
		}
	}
}

// TestSigmoidOfMaps has logits, and the first of two maps.
func TestSigmoidOfMaps(t *testing.T) {
	c := golden[textCases](t, "text.json").Detections[0]
	d, outputs, transform := c.open(t)
	want, err := newDecoder(t, d, outputs).Decode(outputs, transform, Params{})
	if err != nil {
		t.Fatal(err)
	}
	values, _ := outputs[0].floats(nil)
	logits := make([]float32, 2*len(values))
	for i, v := range values {
		p := max(1e-6, min(float64(v), 1-1e-6))
		logits[i] = float32(math.Log(p / (1 - p)))
	}
	outputs = []Tensor{tensor("map", []int64{2, c.Shape[0], c.Shape[1]}, logits...)}
	d.Output.Activation = repository.ActivationSigmoid
	got, err := newDecoder(t, d, outputs).Decode(outputs, transform, Params{})
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range want.(*TextLines).Lines {
		if of := got.(*TextLines).Lines[i]; of.Corners != line.Corners || math.Abs(of.Score-line.Score) > 1e-4 {
			t.Errorf("%+v, want %+v", of, line)
		}
	}
}

// TestOutlinesOfNoise counts the points that are not within outlines: none, in the last of them.
func TestOutlinesOfNoise(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	var mem scratch
	for range 200 {
		m := probabilityMap{width: 1 + random.IntN(40), height: 1 + random.IntN(40)}
		m.values = make([]float32, m.width*m.height)
		for i := range m.values {
			m.values[i] = random.Float32()
		}
		all := 0
		for c := newContours(&mem, m, 0.6, false, 10000); ; all++ {
			outline, ok := c.next()
			if !ok {
				break
			}
			for _, p := range outline {
				if m.values[int(p.y)*m.width+int(p.x)] <= 0.6 {
					t.Fatalf("%v is no point of the map's", p)
				}
			}
		}
		few := 0
		c := newContours(&mem, m, 0.6, false, 3)
		for _, ok := c.next(); ok; _, ok = c.next() {
			few++
		}
		if few != min(all, 3) {
			t.Fatalf("%d outlines of %d", few, all)
		}
	}
}

// FuzzText feeds raw bytes as outputs of both decoders of text.
func FuzzText(f *testing.F) {
	for _, c := range golden[textCases](f, "text.json").Detections {
		_, outputs, _ := c.open(f)
		f.Add(outputs[0].Data[:min(len(outputs[0].Data), 4096)], uint8(16), true, 1.0, 0.0)
	}
	f.Fuzz(func(t *testing.T, data []byte, width uint8, slow bool, scale, offset float64) {
		if len(data) > 1<<15 {
			return
		}
		n := len(data) / 4
		w := max(int64(width), 2)
		h := int64(n) / w
		row := Tensor{"y", repository.Float32, []int64{h, w}, append([]byte(nil), data[:4*h*w]...)}
		d := repository.Definition{Task: repository.TextDetection, Input: repository.Input{Resize: repository.Limit}, Output: repository.Output{Decode: repository.DecodeDB, Score: 0.01}}.WithDefaults()
		d.Output.Text.Dilate = !slow
		if slow {
			d.Output.Text.ScoreMode = repository.ScoreSlow
		}
		transform := geometry.Transform{Width: 50, Height: 40, InputW: 64, InputH: 32, ScaleX: scale, ScaleY: scale, OffsetX: offset, OffsetY: offset}
		decodeAll(t, newDecoder(t, d, []Tensor{row}), []Tensor{row}, transform, []Params{{}, {MaxBoxes: 1}}, func(answer Prediction) {
			lines := answer.(*TextLines)
			for i, line := range lines.Lines {
				b := lines.Box(i)
				if !(line.Score >= 0 && line.Score <= 1 && b.X1 >= 0 && b.X1 <= b.X2 && b.X2 < 50 && b.Y1 >= 0 && b.Y1 <= b.Y2 && b.Y2 < 40) {
					t.Errorf("%+v", line)
				}
			}
		})
		ctc := repository.Definition{Task: repository.TextRecognition, Labels: make([]string, w-1), Output: repository.Output{Decode: repository.DecodeCTC}}.WithDefaults()
		decodeAll(t, newDecoder(t, ctc, []Tensor{row}), []Tensor{row}, transform, []Params{{}}, func(answer Prediction) {
			if r := answer.(*Recognized); !(r.Score >= 0 && r.Score <= 1) {
				t.Errorf("%+v", r)
			}
		})
	})
}

// pageOfText is a map of 960×960 with a hundred lines in two columns.
func pageOfText() probabilityMap {
	m := probabilityMap{values: make([]float32, 960*960), width: 960, height: 960}
	for line := range 100 {
		left, top := 20+470*(line%2), 10+19*(line/2)
		for y := top; y < top+9; y++ {
			for x := left; x < left+440; x++ {
				edge := min(x-left, left+439-x, y-top, top+8-y)
				m.values[y*m.width+x] = min(0.95, 0.4+0.2*float32(edge))
			}
		}
	}
	return m
}

// BenchmarkTextDetection decodes a map of 960×960 with a hundred lines.
func BenchmarkTextDetection(b *testing.B) {
	m := pageOfText()
	for _, mode := range []string{repository.ScoreFast, repository.ScoreSlow} {
		b.Run(mode, func(b *testing.B) {
			d := repository.Definition{Task: repository.TextDetection, Input: repository.Input{Resize: repository.Limit},
				Output: repository.Output{Decode: repository.DecodeDB, Text: repository.TextOutput{Dilate: true, ScoreMode: mode}}}.WithDefaults()
			outputs := []Tensor{tensor("y", []int64{1, 960, 960}, m.values...)}
			decoder := newDecoder(b, d, outputs)
			transform := geometry.Transform{Width: 1920, Height: 1920, InputW: 960, InputH: 960, ScaleX: 0.5, ScaleY: 0.5}
			b.ReportAllocs()
			for b.Loop() {
				answer, err := decoder.Decode(outputs, transform, Params{})
				if err != nil || answer.(*TextLines).Len() != 100 {
					b.Fatalf("%v, %v", answer, err)
				}
			}
		})
	}
}

// BenchmarkTextRecognition decodes 40 steps of 6625 characters, those of PP-OCRv4 for a line of 320 pixels.
func BenchmarkTextRecognition(b *testing.B) {
	values := make([]float32, 40*6625)
	for step := range 40 {
		values[step*6625+step*31%6625] = 1
	}
	d := repository.Definition{Task: repository.TextRecognition, Labels: make([]string, 6624), Output: repository.Output{Decode: repository.DecodeCTC}}.WithDefaults()
	outputs := []Tensor{tensor("y", []int64{40, 6625}, values...)}
	decoder := newDecoder(b, d, outputs)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decoder.Decode(outputs, geometry.Transform{}, Params{}); err != nil {
			b.Fatal(err)
		}
	}
}
