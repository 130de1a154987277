package api

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"fovea/inference"
	"fovea/inference/pipeline"
	"fovea/internal/apierror"
	"fovea/postprocess"
)

// predictions are one of each task, in each encoding.
func predictions() map[string]postprocess.Prediction {
	visibility, score := 0.5, -1.5
	box := postprocess.Box{Class: 1, Label: "cat", Score: 0.5, X1: 1, Y1: 1, X2: 3, Y2: 3}
	frame := postprocess.Frame{Width: 20, Height: 10, Tiles: 6}
	mask := func(encoding string) *postprocess.Mask {
		return &postprocess.Mask{Width: 20, Height: 10, Runs: []uint32{21, 2, 8, 2, 167}, Encoding: encoding}
	}
	numbers := func(encoding string) *postprocess.Map {
		return &postprocess.Map{Width: 2, Height: 1, Values: []float32{0.5, 2}, Encoding: encoding}
	}
	classes := []postprocess.ClassArea{{Class: 3, Label: "road", Area: 200, Share: 1}}
	masked := []postprocess.ClassArea{{Class: 3, Label: "road", Area: 4, Share: 1, Mask: mask("")}}
	nested := &postprocess.Piped{Steps: []postprocess.StepResult{{Name: "part", Prediction: &postprocess.Detected{Boxes: []postprocess.Box{box}, Width: 20, Height: 10}}}}
	sees := &postprocess.Piped{Steps: []postprocess.StepResult{{Name: "breed", Prediction: &postprocess.Classified{Top: []postprocess.Class{{Class: 2, Label: "tabby", Score: 0.5}}}},
		{Name: "inner", Prediction: nested}}}
	piped := &postprocess.Piped{Steps: []postprocess.StepResult{{Name: "find", Prediction: &postprocess.Detected{Boxes: []postprocess.Box{box, box}, Width: 20, Height: 10},
		Objects: []*postprocess.Piped{sees, nil}}, {Name: "whole", Prediction: &postprocess.Embedded{Vector: []float32{1}}}}}
	picture := &postprocess.Rendered{Image: imageOf(4, 2), Width: 20, Height: 10}
	asJPEG := *picture
	asJPEG.Encoding = postprocess.EncodingJPEG
	return map[string]postprocess.Prediction{
		"oriented": &postprocess.Oriented{Boxes: []postprocess.OrientedBox{{Box: box, Corners: [4][2]float64{{-1, 1}, {3, 1}, {3, 3}, {-1, 3}}, CX: 1, CY: 2, W: 4, H: 2}}, Frame: frame},
		"tiles":    &postprocess.Detected{Boxes: []postprocess.Box{box}, Width: 20, Height: 10, Tiles: 6},
		"rle":      &postprocess.Segmented{Boxes: []postprocess.Instance{{Box: box, Mask: mask("")}}, Frame: frame},
		"polygon":  &postprocess.Segmented{Boxes: []postprocess.Instance{{Box: box, Mask: mask(postprocess.EncodingPolygon)}}, Frame: frame},
		"png":      &postprocess.Segmented{Boxes: []postprocess.Instance{{Box: box, Mask: mask(postprocess.EncodingPNG)}}, Frame: frame},
		"pose": &postprocess.Posed{Boxes: []postprocess.PosedBox{{Box: box, Keypoints: []postprocess.Keypoint{{Name: "nose", X: 1, Y: 2, Visibility: &visibility}, {Name: "ear", Score: &score}}}},
			Skeleton: [][]int{{0, 1}}, Frame: frame},
		"class map":   &postprocess.ClassMap{Width: 20, Height: 10, MapWidth: 20, MapHeight: 10, Classes: classes, PNG: mapOf(20, 10, 3)},
		"class masks": &postprocess.ClassMap{Width: 20, Height: 10, MapWidth: 20, MapHeight: 10, Classes: masked},
		"vector":      &postprocess.Embedded{Vector: []float32{0.6, -0.8}},
		"base64":      &postprocess.Embedded{Vector: []float32{0.6, -0.8}, Encoding: postprocess.EncodingBase64},
		"depth":       &postprocess.DepthMap{Depth: numbers(""), Min: 0.5, Max: 2, Width: 20, Height: 10},
		"raw depth":   &postprocess.DepthMap{Depth: numbers(postprocess.EncodingRaw), Min: 0.5, Max: 2, Width: 20, Height: 10},
		"anomaly":     &postprocess.AnomalyMap{Score: 1.25, Anomalous: true, Map: numbers(""), Width: 20, Height: 10},
		"pipeline":    piped,
		"image":       picture,
		"text lines": &postprocess.TextLines{Lines: []postprocess.TextLine{{Score: 0.75, Corners: [4][2]float64{{1, 1}, {9, 2}, {9, 6}, {1, 5}}},
			{Text: "文 a", Score: 0.5, Corners: [4][2]float64{{11, 1}, {19, 1}, {19, 5}, {11, 5}}}}, Frame: frame},
		"text": &postprocess.Recognized{Text: "Ab 1", Score: 0.875},
		"jpeg": &asJPEG,
	}
}

// TestPipelinesAnswerWithTheTimingOfTheirSteps has two images, of which the second has more crops.
func TestPipelinesAnswerWithTheTimingOfTheirSteps(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(_ context.Context, r inference.Request) (*inference.Response, error) {
			n := len(r.Image)
			steps := []pipeline.StepTiming{{Name: "find", Images: 1, Timing: pipeline.Timing{Infer: time.Millisecond}, Total: 2 * time.Millisecond}}
			if n > 1 {
				steps = append(steps, pipeline.StepTiming{Name: "breed", Images: n, Timing: pipeline.Timing{Crop: time.Duration(n) * time.Millisecond}, Total: 3 * time.Millisecond})
			}
			return &inference.Response{Model: "cats", Version: "1", Device: "cpu", Prediction: predictions()["pipeline"], Steps: steps}, nil
		}
	})
	a := s.post("/predict", "application/json", images(`{}`, "1", "333", "22"))
	if want := `"steps":[{"name":"find","images":3,"queue":0,"crop":0,"preprocess":0,"infer":1,"postprocess":0,"total":2},` +
		`{"name":"breed","images":5,"queue":0,"crop":3,"preprocess":0,"infer":0,"postprocess":0,"total":3}]`; !strings.Contains(string(a.Body), want) {
		t.Errorf("%s\nhas not %s", a.Body, want)
	}
	if want := `"label":"cat","score":0.5,"x1":1,"y1":1,"x2":3,"y2":3,"breed":{"top":[{"class":2,"label":"tabby","score":0.5}]},"inner":{"part":{"boxes":[`; !strings.Contains(string(a.Body), want) {
		t.Errorf("%s\nhas not %s", a.Body, want)
	}
}

// TestPredictionsOfEveryTask compares with the document, whose schemas allow no other field (fixture_test.go), and draws each.
func TestPredictionsOfEveryTask(t *testing.T) {
	for name, p := range predictions() {
		t.Run(name, func(t *testing.T) {
			s := open(t, func(_ *Config, e *engine) {
				e.predict = func(context.Context, inference.Request) (*inference.Response, error) {
					return &inference.Response{Model: "cats", Version: "1", Device: "cpu", Prediction: p}, nil
				}
			})
			if a := s.post("/predict", "image/jpeg", "pixels"); a.Status != http.StatusOK {
				t.Errorf("%d %s", a.Status, a.Body)
			}
			if a := s.post("/predict?annotate=png", "image/jpeg", "pixels"); a.Status != http.StatusOK || !bytes.HasPrefix(a.Body, []byte("\x89PNG")) {
				t.Errorf("annotated: %d %.200s", a.Status, a.Body)
			}
		})
	}
}

func TestAnnotatedImages(t *testing.T) {
	s := open(t)
	a := s.post("/v1/models/boxes/predict?annotate=jpeg", "image/jpeg", "pixels")
	if _, err := jpeg.Decode(bytes.NewReader(a.Body)); err != nil || a.Header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%v, %s", err, a.Header.Get("Content-Type"))
	}
	a = s.post("/predict", "application/json", images(`{"annotate":"png"}`, "one"))
	if img, err := png.Decode(bytes.NewReader(a.Body)); err != nil || img.Bounds().Dx() < 20 {
		t.Errorf("%v", err)
	}
	form, formBody := parts("image=one", "annotate=png")
	if a = s.post("/predict", form, formBody); a.Status != http.StatusOK || a.Header.Get("Content-Type") != "image/png" {
		t.Errorf("%d %s", a.Status, a.Header.Get("Content-Type"))
	}
	for what, c := range map[string]struct {
		path, contentType, body string
		status                  int
		want                    string
	}{
		"two images":         {"/predict?annotate=png", "application/json", images(`{}`, "one", "two"), 400, "the request has 2 images; one is allowed"},
		"another format":     {"/predict?annotate=gif", "image/jpeg", "pixels", 400, `annotate is \"gif\"; allowed: png, jpeg`},
		"a number":           {"/predict", "application/json", images(`{"annotate":1}`, "one"), 400, "annotate is not a string"},
		"an unreadable one":  {"/predict?annotate=png", "image/jpeg", "truncated", 422, "the JPEG is truncated"},
		"another encoding":   {"/predict?encoding=gif", "image/jpeg", "pixels", 400, `encoding is \"gif\"; allowed: rle, polygon, png, jpeg, raw, list, base64`},
		"two of them":        {"/predict?annotate=png&annotate=jpeg", "image/jpeg", "pixels", 400, "given twice"},
		"a comparison of it": {"/v1/models/cats/compare?annotate=png", "application/json", images(`{}`, "one", "two"), 400, "a comparison has no parameters"},
	} {
		if a := s.post(c.path, c.contentType, c.body); a.Status != c.status || !strings.Contains(string(a.Body), c.want) {
			t.Errorf("%s: %d %s, want %d and %q", what, a.Status, a.Body, c.status, c.want)
		}
	}
}

// TestUndrawnImages has a prediction that cannot be drawn.
func TestUndrawnImages(t *testing.T) {
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(context.Context, inference.Request) (*inference.Response, error) {
			return &inference.Response{Model: "cats", Version: "1", Device: "cpu"}, nil
		}
	})
	if a := s.post("/v1/models/cats/predict?annotate=png", "image/jpeg", "pixels"); a.Status != http.StatusInternalServerError {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	s.eventually(`fovea_rejected_total{code="internal",model="cats"} 1`)
	s.eventually(`fovea_images_total{code="internal",model="cats"} 1`)
}

func TestCompare(t *testing.T) {
	vectors := map[string][]float32{"one": {1, 0}, "two": {0, 2}, "three": {3, 3}}
	s := open(t, func(_ *Config, e *engine) {
		e.predict = func(_ context.Context, r inference.Request) (*inference.Response, error) {
			if v := vectors[string(r.Image)]; v != nil {
				return &inference.Response{Model: r.Model, Version: "1", Device: "cpu", Prediction: &postprocess.Embedded{Vector: v}}, nil
			}
			if string(r.Image) == "box" {
				return &inference.Response{Model: r.Model, Version: "1", Device: "cpu", Prediction: &postprocess.Detected{Boxes: []postprocess.Box{}}}, nil
			}
			return nil, apierror.New(apierror.Undecodable, "the JPEG is truncated")
		}
	})
	a := s.post("/v1/models/cats/compare", "application/json", images(`{}`, "one", "two", "three"))
	var got compareResponse
	if err := json.Unmarshal(a.Body, &got); err != nil || a.Status != http.StatusOK {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	if len(got.Similarity) != 3 || got.Similarity[0][0] != 1 || got.Similarity[0][1] != 0 || got.Similarity[1][2] != got.Similarity[2][1] || got.Similarity[2][1] < 0.7071 || got.Similarity[2][1] > 0.7072 {
		t.Errorf("%v", got.Similarity)
	}
	for what, c := range map[string]struct {
		path, body string
		status     int
		want       string
	}{
		"one image":            {"/v1/models/cats/compare", images(`{}`, "one"), 400, "takes two or more"},
		"no vectors":           {"/v1/models/cats/compare", images(`{}`, "box", "box"), 400, "must be embedding"},
		"an unreadable image":  {"/v1/models/cats/compare", images(`{}`, "one", "x"), 422, "image 1: the JPEG is truncated"},
		"a model that is none": {"/v1/models/dogs/compare", images(`{}`, "one", "two"), 404, "dogs"},
	} {
		if a := s.post(c.path, "application/json", c.body); a.Status != c.status || !strings.Contains(string(a.Body), c.want) {
			t.Errorf("%s: %d %s, want %d and %q", what, a.Status, a.Body, c.status, c.want)
		}
	}
}

func imageOf(w, h int) *image.NRGBA { return image.NewNRGBA(image.Rect(0, 0, w, h)) }

// mapOf is a PNG with a palette whose pixels all have one number.
func mapOf(w, h int, class uint8) []byte {
	img := image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.Black, color.White, color.Black, color.White})
	for i := range img.Pix {
		img.Pix[i] = class
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}
