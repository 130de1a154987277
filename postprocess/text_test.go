package postprocess

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"io"
	"math"
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
