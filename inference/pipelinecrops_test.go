package inference

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"path/filepath"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// halves is a classifier of images of 8×8 pixels whose class is the brighter half: left or right.
func halves() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 8, 8)
	m.Node("ReduceMean", "columns", onnxwriter.Attributes{"axes": []int{1, 2}, "keepdims": 0}, "image")
	weights := make([]float32, 16)
	for column := range 8 {
		weights[2*column+column/4] = 10
	}
	m.Floats("weights", weights, 8, 2)
	m.Node("MatMul", "logits", nil, "columns", "weights")
	m.Output("logits", onnxwriter.Float, "n", 2)
	return m
}

// brightText is a text detector of images of 64×64 pixels for which everything bright is text.
func brightText() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 64, 64)
	m.Node("ReduceMean", "map", onnxwriter.Attributes{"axes": []int{1}, "keepdims": 1}, "image")
	m.Output("map", onnxwriter.Float, "n", 1, 64, 64)
	return m
}

// face finds one object in images of 64×64 pixels, with the five points of a face.
func face(points [][2]float32) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 64, 64)
	row := []float32{2, 2, 62, 62, 0.9, 0}
	for _, p := range points {
		row = append(row, p[0], p[1])
	}
	m.Floats("row", row, 1, 1, len(row))
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{1, 2}, "keepdims": 1}, "image") // [n,1,1,64]
	m.Ints("shape", []int64{-1, 64, 1}, 3)
	m.Node("Reshape", "columns", nil, "mean", "shape")
	m.Node("ReduceMean", "gray", onnxwriter.Attributes{"axes": []int{1}, "keepdims": 1}, "columns") // [n,1,1]
	m.Floats("zero", []float32{0}, 1)
	m.Node("Mul", "none", nil, "gray", "zero")
	m.Node("Add", "rows", nil, "row", "none")
	m.Output("rows", onnxwriter.Float, "n", 1, len(row))
	return m
}

func (r *testRepository) addDefined(name, definition, labels string, m *onnxwriter.Model) {
	r.t.Helper()
	r.write(filepath.Join(name, "model.yaml"), []byte(definition))
	if labels != "" {
		r.write(filepath.Join(name, "labels.txt"), []byte(labels))
	}
	r.write(filepath.Join(name, "1", "model.onnx"), m.Bytes())
}

func (r *testRepository) addHalves() {
	r.t.Helper()
	r.addDefined("halves", "task: classification\nlabels: labels.txt\ninput: {width: 8, height: 8, scale: 0.00392156862745098}\noutput: {decode: softmax}\n",
		"left\nright\n", halves())
}

// bar draws a bar of w×h pixels around the center of a black image of 64×64, turned clockwise, whose left half is white and the right gray.
func bar(t *testing.T, w, h, degrees float64) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	for y := range 64 {
		for x := range 64 {
			dx, dy := float64(x)-31.5, float64(y)-31.5
			u, v := dx*cos+dy*sin, dy*cos-dx*sin
			c := color.Gray{}
			if math.Abs(u) <= w/2 && math.Abs(v) <= h/2 {
				if c.Y = 150; u < 0 {
					c.Y = 255
				}
			}
			img.Set(x, y, c)
		}
	}
	var out bytes.Buffer
	if err := png.Encode(&out, img); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

const readPipeline = `task: pipeline
steps:
  - {name: lines, model: brightness}
  - {name: direction, model: halves, of: lines, crop: {by: quad, turn_tall: 1.5}}
  - {name: read, model: halves, of: lines, crop: {by: quad, turn_tall: 1.5}, turn: {step: direction, label: right, min_score: 0.6}, min_score: 0.5}
`

// TestLinesAreTurnedUpright reads a line that is turned in steps of 15°, in perspective crops that are turned by what an earlier step saw.
func TestLinesAreTurnedUpright(t *testing.T) {
	r := newRepository(t)
	r.addHalves()
	r.addDefined("brightness", "task: text_detection\ninput: {width: 64, height: 64, scale: 0.00392156862745098}\noutput: {decode: db}\n", "", brightText())
	r.define("reader", readPipeline)
	e := r.synced(nil)
	turned := 0
	for degrees := 0; degrees < 360; degrees += 15 {
		response, err := e.Predict(t.Context(), Request{Model: "reader", Image: bar(t, 44, 12, float64(degrees))})
		if err != nil {
			t.Fatalf("%d°: %v", degrees, err)
		}
		lines := response.Prediction.(*postprocess.Piped).Steps[0]
		if n := len(lines.Objects); n != 1 {
			t.Errorf("%d°: %d lines", degrees, n)
			continue
		}
		direction, read := postprocess.Word(lines.Objects[0].Find("direction")), postprocess.Word(lines.Objects[0].Find("read"))
		if read != "left" {
			t.Errorf("%d°: direction %s, read %s", degrees, direction, read)
		}
		if direction == "right" {
			turned++
		}
	}
	if turned < 10 || turned > 14 {
		t.Errorf("%d of 24 lines were upside down", turned)
	}
}

// sides is a classifier of images of 8×8 pixels: by how many degrees counterclockwise the image must be turned for its bright side to be on the
// left.
func sides() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("image", onnxwriter.Float, "n", 3, 8, 8)
	weights := make([]float32, 3*64*4)
	for i := range 3 * 64 {
		x, y := i%8, i/8%8
		for class, bright := range []bool{x < 2, y < 2, x > 5, y > 5} {
			if bright {
				weights[i*4+class] = 0.2
			}
		}
	}
	m.Floats("weights", weights, 3*64, 4)
	m.Ints("shape", []int64{-1, 3 * 64}, 2)
	m.Node("Reshape", "flat", nil, "image", "shape")
	m.Node("MatMul", "logits", nil, "flat", "weights")
	m.Output("logits", onnxwriter.Float, "n", 4)
	return m
}

// TestPagesAreTurnedUpright has a page whose bright side, and whose white bar, is on the left, turned by quarters. Its lines are read on the upright
// page, whatever the order of the steps.
func TestPagesAreTurnedUpright(t *testing.T) {
	r := newRepository(t)
	r.addHalves()
	r.addDefined("sides", "task: classification\nlabels: labels.txt\ninput: {width: 8, height: 8, scale: 0.00392156862745098}\noutput: {decode: softmax}\n",
		"0\n90_degree\n180\n270\n", sides())
	r.addDefined("brightness", "task: text_detection\ninput: {width: 64, height: 64, scale: 0.00392156862745098}\noutput: {decode: db}\n", "", brightText())
	r.define("lines", "task: pipeline\nsteps: [{name: lines, model: brightness}, {name: read, model: halves, of: lines, crop: {by: quad}}]\n")
	r.define("page", `task: pipeline
steps:
  - {name: orientation, model: sides}
  - {name: lines, model: brightness, turn: {step: orientation, by: label}}
  - {name: read, model: halves, of: lines, crop: {by: quad}}
  - {name: whole, model: halves, turn: {step: orientation, by: label}}
  - {name: nested, model: lines, turn: {step: orientation, by: label, min_score: 0.3}}
  - {name: sure, model: halves, turn: {step: orientation, by: label, min_score: 1}}
`)
	e := r.synced(nil)
	upside := map[string]bool{}
	for degrees, want := range map[float64]string{0: "0", 90: "90_degree", 180: "180", 270: "270"} {
		response, err := e.Predict(t.Context(), Request{Model: "page", Image: bar(t, 60, 20, degrees)})
		if err != nil {
			t.Fatalf("%v°: %v", degrees, err)
		}
		page := response.Prediction.(*postprocess.Piped)
		lines := page.Find("lines").(*postprocess.TextLines)
		if got := postprocess.Word(page.Find("orientation")); got != want || postprocess.Word(page.Find("whole")) != "left" {
			t.Errorf("%v°: seen as %s, and turned so that the bright half is %s", degrees, got, postprocess.Word(page.Find("whole")))
		}
		nested := page.Find("nested").(*postprocess.Piped).Steps[0]
		if n := len(lines.Lines); n != 1 || lines.Lines[0].Corners[1][0]-lines.Lines[0].Corners[0][0] < 50 || page.Steps[1].Apart != (degrees > 0) ||
			postprocess.Word(page.Steps[1].Objects[0].Find("read")) != "left" || postprocess.Word(nested.Objects[0].Find("read")) != "left" {
			t.Errorf("%v°: %+v", degrees, lines)
		}
		upside[postprocess.Word(page.Find("sure"))] = true
	}
	if !upside["right"] {
		t.Error("what is below min_score is turned")
	}
	atRest(t, e)
}

// TestFacesAreAligned has the points of a face that is turned in steps of 90°, the brighter half at its right.
func TestFacesAreAligned(t *testing.T) {
	for quarter := range 4 {
		t.Run(fmt.Sprintf("turned by %d°", 90*quarter), func(t *testing.T) {
			sin, cos := [4]float64{0, 1, 0, -1}[quarter], [4]float64{1, 0, -1, 0}[quarter]
			var points [][2]float32
			for _, p := range repository.ArcFaceTarget() {
				x, y := (p[0]-56)/2, (p[1]-56)/2
				points = append(points, [2]float32{float32(31.5 + x*cos - y*sin), float32(31.5 + x*sin + y*cos)})
			}
			r := newRepository(t)
			r.addHalves()
			r.addDefined("face", "task: pose\nlabels: labels.txt\ninput: {width: 64, height: 64, scale: 0.00392156862745098}\n"+
				"output: {decode: rows, keypoints: [right_eye, left_eye, nose, right_mouth_corner, left_mouth_corner], keypoint_values: 2}\n", "face\n", face(points))
			r.define("faces", "task: pipeline\nsteps: [{name: find, model: face}, {name: half, model: halves, of: find, crop: {by: points, template: arcface}},\n"+
				"  {name: eyes, model: halves, of: find, crop: {by: points, keypoints: [left_eye, right_eye], target: [[2, 8], [14, 8]], width: 16, height: 16}}]\n")
			e := r.synced(nil)
			response, err := e.Predict(t.Context(), Request{Model: "faces", Image: bar(t, 60, 60, float64(90*quarter))})
			if err != nil {
				t.Fatal(err)
			}
			of := response.Prediction.(*postprocess.Piped).Steps[0].Objects[0]
			if got := postprocess.Word(of.Find("half")); got != "left" {
				t.Errorf("the brighter half of the aligned face is the %s one", got)
			}
			if got := postprocess.Word(of.Find("eyes")); got != "right" {
				t.Errorf("where the eyes change places, the brighter half is the %s one", got)
			}
		})
	}
}

// TestObjectsOfTurnedCropsAreInTheirPixels detects in a perspective crop.
func TestObjectsOfTurnedCropsAreInTheirPixels(t *testing.T) {
	r := newRepository(t).addFinder("finder")
	r.addHalves()
	r.addDefined("brightness", "task: text_detection\ninput: {width: 64, height: 64, scale: 0.00392156862745098}\noutput: {decode: db}\n", "", brightText())
	r.define("parts", "task: pipeline\nsteps: [{name: line, model: brightness}, {name: parts, model: finder, of: line, crop: {by: quad, turn_tall: 1.5}},\n"+
		"  {name: half, model: halves, of: parts}]\n")
	e := r.synced(nil)
	response, err := e.Predict(t.Context(), Request{Model: "parts", Image: bar(t, 48, 16, 270)})
	if err != nil {
		t.Fatal(err)
	}
	line := response.Prediction.(*postprocess.Piped).Steps[0]
	parts := line.Objects[0].Steps[0]
	found := parts.Prediction.(*postprocess.Detected)
	if !parts.Apart || found.Width < 48 || found.Height > 40 || math.Abs(found.Boxes[2].X2-float64(found.Width)) > 1e-3 || found.Boxes[0].X1 != 0 {
		t.Errorf("a line of %v is a crop with %+v", line.Prediction.(*postprocess.TextLines).Lines[0].Corners, found)
	}
	if got := postprocess.Word(parts.Objects[1].Find("half")); got == "" {
		t.Error("the parts are not seen")
	}
	atRest(t, e)
}
