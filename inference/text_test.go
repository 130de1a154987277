package inference

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"math"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/postprocess"
)

// whiteText is a detector of text: white is text.
func whiteText() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 3, "h", "w")
	m.Node("ReduceMean", "map", onnxwriter.Attributes{"axes": []int{1}, "keepdims": 1}, "x")
	m.Output("map", onnxwriter.Float, "n", 1, "h", "w")
	return m
}

// columnText is a reader of text, with a step for each column: blue is a blank, green is the first character, red the second one.
func columnText() *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 3, 8, "w")
	m.Node("ReduceMean", "columns", onnxwriter.Attributes{"axes": []int{2}, "keepdims": 0}, "x")
	m.Node("Transpose", "steps", onnxwriter.Attributes{"perm": []int{0, 2, 1}}, "columns")
	m.Output("steps", onnxwriter.Float, "n", "w", 3)
	return m
}

// blackWith is a black image with rectangles.
func blackWith(t *testing.T, w, h int, parts map[image.Rectangle]color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.Draw(img, img.Rect, image.Black, image.Point{}, draw.Src)
	for r, c := range parts {
		draw.Draw(img, r, image.NewUniform(c), image.Point{}, draw.Src)
	}
	var data bytes.Buffer
	if err := png.Encode(&data, img); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// TestTextIsFoundWhereItIs sends images of several sizes at once, which are resized to multiples of 32, and of which one is padded.
func TestTextIsFoundWhereItIs(t *testing.T) {
	r := newRepository(t)
	r.define("find", "task: text_detection\ninput: {resize: limit, shortest_edge: 128, multiple: 32, max_aspect: 4, interpolation: opencv_linear, scale: 0.00392156862745098}\noutput: {decode: db, unclip_ratio: 0}\n")
	r.addModel("find", whiteText())
	e := r.synced(nil)
	var group sync.WaitGroup
	for _, size := range []image.Point{{X: 300, Y: 200}, {X: 200, Y: 300}, {X: 900, Y: 120}, {X: 640, Y: 640}} {
		group.Go(func() {
			first, second := image.Rect(20, 30, 120, 50), image.Rect(size.X/2, size.Y-40, size.X-20, size.Y-20)
			got, err := e.Predict(t.Context(), Request{Model: "find", Image: blackWith(t, size.X, size.Y, map[image.Rectangle]color.Color{first: color.White, second: color.White})})
			if err != nil {
				t.Errorf("%v: %v", size, err)
				return
			}
			lines, _ := got.Prediction.(*postprocess.TextLines)
			if lines.Len() != 2 || lines.Width != size.X {
				t.Errorf("%v: %+v", size, lines)
				return
			}
			for i, want := range []image.Rectangle{first, second} {
				b := lines.Box(i)
				for _, d := range []float64{b.X1 - float64(want.Min.X), b.Y1 - float64(want.Min.Y), b.X2 - float64(want.Max.X), b.Y2 - float64(want.Max.Y)} {
					if math.Abs(d) > 6 || b.Score < 0.8 {
						t.Errorf("%v: %+v, want %v", size, b, want)
					}
				}
			}
		})
	}
	group.Wait()
	atRest(t, e)
}

// TestTextOfEveryWidth sends lines of different widths at once. Those below 64 pixels are padded with blue.
func TestTextOfEveryWidth(t *testing.T) {
	r := newRepository(t)
	r.define("read", "task: text_recognition\nlabels: dict.txt\ninput: {resize: fit_height, min_width: 64, width: 400, interpolation: opencv_nearest, color: bgr, scale: 0.00392156862745098, fill: [255, 0, 0]}\n"+
		"output: {decode: ctc}\ninstances: [{device: cpu, count: 2}]\nself_test: {image: line.png, label: ' a', min_score: 0.9}\n")
	r.write(filepath.Join("read", "dict.txt"), []byte("a\n \n"))
	blue, green, red := color.RGBA{B: 255, A: 255}, color.RGBA{G: 255, A: 255}, color.RGBA{R: 255, A: 255}
	paint := map[byte]color.Color{'_': blue, 'a': green, ' ': red}
	line := func(columns string, height int) []byte {
		parts := map[image.Rectangle]color.Color{}
		for i := range len(columns) {
			parts[image.Rect(i*height, 0, (i+1)*height, height)] = paint[columns[i]]
		}
		return blackWith(t, len(columns)*height, height, parts)
	}
	r.write(filepath.Join("read", "line.png"), line("_ a_", 8))
	r.addModel("read", columnText())
	e := r.synced(nil)
	var group sync.WaitGroup
	for columns, want := range map[string]string{"a": "a", "aa": "a", "a_a": "aa", " a _ ": " a  ", "____": "", strings.Repeat("a_", 20): strings.Repeat("a", 20)} {
		for _, height := range []int{8, 16, 24} {
			group.Go(func() {
				got, err := e.Predict(t.Context(), Request{Model: "read", Image: line(columns, height)})
				if err != nil {
					t.Errorf("%q: %v", columns, err)
				} else if text, _ := got.Prediction.(*postprocess.Recognized); text.Text != want || (text.Score > 0.99) != (want != "") {
					t.Errorf("%q of %d pixels: %+v, want %q", columns, height, text, want)
				}
			})
		}
	}
	group.Wait()
	atRest(t, e)
}
