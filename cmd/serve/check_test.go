package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/postprocess"
)

// detector is an ONNX file as Ultralytics' exporter writes them, for images of 64×64 pixels: [1,6,84] with the box in the middle of
// the image, x 16 to 48 and y 24 to 40, as a cat with a score of 0.9 × red, and in the upper left, x 0 to 16 and y 0 to 8, as a dog
// with a score of 0.9 × green.
func detector() []byte {
	const n, cat, dog = 8*8 + 4*4 + 2*2, 27, 3 // anchors of strides 8, 16 and 32
	m := &onnxwriter.Model{Producer: "pytorch", Metadata: map[string]string{"author": "Ultralytics", "task": "detect", "batch": "1",
		"description": "Ultralytics YOLO11n model trained on pets.yaml", "imgsz": "[64, 64]", "names": "{0: 'cat', 1: 'dog'}", "stride": "32",
		"channels": "3", "version": "8.3.200", "license": "AGPL-3.0 License (https://ultralytics.com/license)",
		"args": "{'batch': 1, 'half': False, 'int8': False, 'dynamic': False, 'simplify': True, 'opset': None, 'nms': False}"}}
	m.Input("images", onnxwriter.Float, 1, 3, 64, 64)
	boxes, weights := make([]float32, 4*n), make([]float32, 3*2*n)
	for i := range n {
		for row, v := range [...]float32{32, 32, 32, 16} {
			boxes[row*n+i] = v
		}
	}
	for row, v := range [...]float32{8, 4, 16, 8} {
		boxes[row*n+dog] = v
	}
	weights[cat], weights[2*n+n+dog] = 0.9, 0.9 // of red for cats, of green for dogs
	m.Floats("boxes", boxes, 1, 4, n)
	m.Floats("weights", weights, 3, 2*n)
	m.Ints("grid", []int64{1, 2, n}, 3)
	m.Node("ReduceMean", "mean", onnxwriter.Attributes{"axes": []int{2, 3}, "keepdims": 0}, "images")
	m.Node("MatMul", "flat", nil, "mean", "weights")
	m.Node("Reshape", "scores", nil, "flat", "grid")
	m.Node("Concat", "output0", onnxwriter.Attributes{"axis": 1}, "boxes", "scores")
	m.Output("output0", onnxwriter.Float, 1, 6, n)
	return m.Bytes()
}

const detectorDefinition = "task: detection\nlabels: labels.txt\ninput: {resize: letterbox, scale: 0.00392156862745098}\noutput: {decode: yolo}\n"

// solid is a JPEG of one color.
func solid(t *testing.T, w, h int, c color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		img.Set(i%w, i/w, c)
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// turned returns a JPEG with the EXIF orientation 6: it is shown turned by 90° clockwise.
func turned(data []byte) []byte {
	exif := "Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00"
	segment := append([]byte{0xff, 0xe1, 0, byte(len(exif) + 2)}, exif...)
	return append(append([]byte{0xff, 0xd8}, segment...), data[2:]...)
}

var red, green = color.RGBA{255, 0, 0, 255}, color.RGBA{0, 255, 0, 255}

func TestCheckWithAnImage(t *testing.T) {
	dir, pictures := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"pets/1/model.onnx": string(detector()), "pets/labels.txt": "cat\ndog\n", "pets/model.yaml": detectorDefinition})
	lay(t, dir, map[string]string{"quick/1/model.onnx": string(detector()), "quick/labels.txt": "cat\ndog\n",
		"quick/model.yaml": strings.Replace(detectorDefinition, "input: {", "input: {normalize: graph, ", 1)})
	addTiny(t, dir, "colors", "colors")
	lay(t, pictures, map[string]string{"red.jpg": string(solid(t, 1280, 1280, red)), "turned.jpg": string(turned(solid(t, 800, 400, red))),
		"green.jpg": string(solid(t, 64, 64, green)), "text.jpg": "not an image"})
	at := func(name string) string { return filepath.Join(pictures, name) }
	run := func(args ...string) (string, error) {
		t.Helper()
		out, err := command(t, dir, append([]string{"models", "check"}, args...)...).CombinedOutput()
		return string(out), err
	}
	for _, test := range []struct{ args, want string }{
		{"pets --image " + at("red.jpg"), "pets version 1: ready"},
		{"pets --image " + at("red.jpg"), "image    1280 × 1280 pixels, 1 box\n  sees     0.8965  cat  x 320 to 960, y 480 to 800\n"},
		{"quick --image " + at("red.jpg"), "  input    images uint8 [1 3 64 64]\n  pixels   images takes them, and the graph normalizes them to float32 (input.normalize)\n"},
		{"quick --image " + at("red.jpg"), "image    1280 × 1280 pixels, 1 box\n  sees     0.8965  cat  x 320 to 960, y 480 to 800\n"},
		{"pets --image " + at("green.jpg"), "  sees     0.9000  dog  x 0 to 16, y 0 to 8\n"},
		{"pets --image " + at("turned.jpg"), "image    400 × 800 pixels"},
		{"pets --score-threshold 0.95 --image " + at("red.jpg"), "1280 pixels, 0 boxes"},
		{"colors pets --image " + at("green.jpg"), "green\n"},
	} {
		if out, err := run(strings.Fields(test.args)...); err != nil || !strings.Contains(out, test.want) {
			t.Errorf("%s: %v; want %q in\n%s", test.args, err, test.want, out)
		}
	}
	for args, want := range map[string]string{
		"pets --annotate out.png":                                 "--annotate and --score-threshold need --image",
		"pets colors --annotate out.png --image " + at("red.jpg"): "--annotate needs a single model",
		"pets --score-threshold 2 --image " + at("red.jpg"):       "must be a number from 0 to 1",
		"pets --image " + at("none.jpg"):                          "no such file",
		"pets --image " + at("text.jpg"):                          "text.jpg: ",
		"none --image " + at("red.jpg"):                           "serve: there is no model none: " + dir + " has colors, pets, quick\n",
		"../pets":                                                 "no such file",
		"a$b":                                                     "is not a model name",
		"yolox-nano":                                              "the weights of yolox-nano are not in " + dir + ": serve models pull yolox-nano",
		"pets --annotate out.gif --image " + at("red.jpg"):        "--annotate: out.gif does not end in .png",
	} {
		if out, err := run(strings.Fields(args)...); exitStatus(err) != 1 || !strings.Contains(out, want) {
			t.Errorf("%s: %v; want %q in\n%s", args, err, want, out)
		}
	}
	out, err := run("pets", "--json", "--image", at("red.jpg"))
	var got []struct {
		Model, State, Definition string
		Prediction               postprocess.Detected
	}
	if err != nil || json.Unmarshal([]byte(out), &got) != nil || len(got) != 1 || got[0].Model != "pets" || got[0].State != "ready" ||
		got[0].Definition != "model.yaml" || len(got[0].Prediction.Boxes) != 1 || got[0].Prediction.Boxes[0].Label != "cat" {
		t.Errorf("--json: %v\n%s", err, out)
	}
}

func TestAnnotatedImages(t *testing.T) {
	dir, pictures := t.TempDir(), t.TempDir()
	lay(t, dir, map[string]string{"pets/1/model.onnx": string(detector()), "pets/labels.txt": "cat\ndog\n", "pets/model.yaml": detectorDefinition})
	addTiny(t, dir, "colors", "colors")
	for name, test := range map[string]struct {
		model  string
		image  []byte
		size   image.Point // of the result
		border []image.Point
		plain  []image.Point
	}{
		"boxes": {"pets", solid(t, 1280, 1280, color.RGBA{255, 0, 255, 255}), image.Pt(1280, 1280),
			[]image.Point{{321, 600}, {958, 600}, {640, 482}, {640, 798}}, []image.Point{{316, 600}, {640, 600}, {964, 600}, {640, 805}}},
		"a turned image": {"pets", turned(solid(t, 1280, 640, color.RGBA{255, 0, 255, 255})), image.Pt(640, 1280),
			[]image.Point{{2, 640}, {638, 640}, {320, 482}}, []image.Point{{320, 640}, {320, 820}}},
		"a small image is enlarged": {"pets", solid(t, 64, 64, color.RGBA{255, 0, 255, 255}), image.Pt(640, 640),
			[]image.Point{{161, 300}, {478, 300}}, []image.Point{{320, 320}, {150, 300}}},
		"classes": {"colors", solid(t, 1280, 640, color.RGBA{255, 0, 255, 255}), image.Pt(1280, 640), nil, []image.Point{{640, 320}, {1279, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			lay(t, pictures, map[string]string{"in.jpg": string(test.image)})
			path := filepath.Join(pictures, "out.png")
			out, err := command(t, dir, "models", "check", test.model, "--image", filepath.Join(pictures, "in.jpg"), "--annotate", path).CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			f, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			img, err := png.Decode(f)
			if err != nil || img.Bounds().Size() != test.size {
				t.Fatalf("%v, %v; want %v", img.Bounds(), err, test.size)
			}
			magenta := func(p image.Point) bool {
				r, g, b, _ := img.At(p.X, p.Y).RGBA()
				return r>>8 > 240 && g>>8 < 15 && b>>8 > 240
			}
			for _, p := range test.border {
				if magenta(p) {
					t.Errorf("nothing is drawn at %v", p)
				}
			}
			for _, p := range test.plain {
				if !magenta(p) {
					t.Errorf("something is drawn at %v", p)
				}
			}
			drawn := 0
			for y := range 60 {
				for x := range 60 {
					if !magenta(image.Pt(x, y)) {
						drawn++
					}
				}
			}
			if test.border == nil && drawn < 500 {
				t.Errorf("%d pixels of the corner are drawn on; want labels", drawn)
			}
		})
	}
}

func TestQuestionsAreAsked(t *testing.T) {
	if !errors.Is(askFor(os.ErrNotExist, "x"), os.ErrNotExist) || askFor(nil, "x") != nil {
		t.Error("other errors are changed")
	}
}
