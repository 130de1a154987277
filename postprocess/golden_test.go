package postprocess

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"testing"

	"fovea/internal/float16"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// The goldens are made by testdata/make.py, an implementation in numpy that shares nothing with this package.

func golden[T any](t testing.TB, name string) T {
	t.Helper()
	var v T
	data, err := os.ReadFile("testdata/" + name)
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func shipped(t testing.TB, name string) repository.Definition {
	t.Helper()
	d, err := repository.LoadShipped(name)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newDecoder(t testing.TB, d repository.Definition, outputs []Tensor) Decoder {
	t.Helper()
	bare := make([]Tensor, len(outputs))
	for i, o := range outputs {
		bare[i] = Tensor{Name: o.Name, DType: o.DType, Shape: o.Shape}
	}
	decoder, err := New(d, bare)
	if err != nil {
		t.Fatal(err)
	}
	return decoder
}

func TestClassificationGolden(t *testing.T) {
	for file, c := range map[string]struct {
		model     string
		tolerance float64
	}{
		"classify-softmax.json": {"mobilenetv2-12-int8", 1e-7},
		"classify-float16.json": {"squeezenet-fp16", 0},
	} {
		t.Run(file, func(t *testing.T) {
			g := golden[struct {
				DType  repository.DType
				Shape  []int64
				Scores string
				Top    [][2]float64
			}](t, file)
			outputs := []Tensor{{"y", g.DType, g.Shape, bytesOf(t, g.Scores)}}
			d := shipped(t, c.model)
			answer, err := newDecoder(t, d, outputs).Decode(outputs, geometry.Transform{}, Params{})
			if err != nil {
				t.Fatal(err)
			}
			top := answer.(*Classified).Top
			if len(top) != len(g.Top) {
				t.Fatalf("%d classes, want %d", len(top), len(g.Top))
			}
			for i, want := range g.Top {
				if top[i].Class != int(want[0]) || math.Abs(top[i].Score-want[1]) > c.tolerance {
					t.Errorf("place %d is %+v, want %v", i, top[i], want)
				}
			}
			if top[0].Label != "zebra" {
				t.Errorf("the zebra is called %q", top[0].Label)
			}
		})
	}
}

type detectionGolden struct {
	Image, Input [2]int
	Ratio        float64
	Cells        [2]int
	Indices      []int
	Rows         string
	N            int64
	Outputs      map[string]string
	Boxes        [][6]float64
}

// yoloxBus returns the definition, output and transform of the image of a bus.
func yoloxBus(t testing.TB) (repository.Definition, []Tensor, geometry.Transform, detectionGolden) {
	g := golden[detectionGolden](t, "yolox-bus.json")
	zipped, err := gzip.NewReader(bytes.NewReader(bytesOf(t, g.Rows)))
	if err != nil {
		t.Fatal(err)
	}
	halves, err := io.ReadAll(zipped)
	if err != nil {
		t.Fatal(err)
	}
	row := make([]float32, g.Cells[1])
	data := make([]byte, 4*g.Cells[0]*g.Cells[1])
	for i, cell := range g.Indices {
		for j := range row {
			v := float16.Value(binary.NativeEndian.Uint16(halves[2*(i*len(row)+j):]))
			binary.NativeEndian.PutUint32(data[4*(cell*len(row)+j):], math.Float32bits(v))
		}
	}
	d := shipped(t, "yolox-nano")
	d.Input.Width, d.Input.Height = g.Input[0], g.Input[1]
	transform := geometry.Transform{Width: g.Image[0], Height: g.Image[1], InputW: g.Input[0], InputH: g.Input[1],
		ScaleX: g.Ratio, ScaleY: g.Ratio}
	return d, []Tensor{{"output", repository.Float32, []int64{int64(g.Cells[0]), int64(g.Cells[1])}, data}}, transform, g
}

func boxesBus(t testing.TB) (repository.Definition, []Tensor, geometry.Transform, detectionGolden) {
	g := golden[detectionGolden](t, "boxes-bus.json")
	d := shipped(t, "deimv2-atto")
	transform := geometry.Transform{Width: g.Image[0], Height: g.Image[1], InputW: g.Input[0], InputH: g.Input[1],
		ScaleX: float64(g.Input[0]) / float64(g.Image[0]), ScaleY: float64(g.Input[1]) / float64(g.Image[1])}
	return d, []Tensor{
		{"labels", repository.Int64, []int64{g.N}, bytesOf(t, g.Outputs["labels"])},
		{"boxes", repository.Float32, []int64{g.N, 4}, bytesOf(t, g.Outputs["boxes"])},
		{"scores", repository.Float32, []int64{g.N}, bytesOf(t, g.Outputs["scores"])},
	}, transform, g
}

func TestYOLOXGolden(t *testing.T) {
	d, outputs, transform, g := yoloxBus(t)
	// The stored rows were rounded to float16, which moves a box by less than a thousandth of its side.
	compare(t, d, outputs, transform, g, 0.99, 2e-3)
}

func TestBoxesGolden(t *testing.T) {
	d, outputs, transform, g := boxesBus(t)
	compare(t, d, outputs, transform, g, 0.999999, 1e-7)
}

func compare(t *testing.T, d repository.Definition, outputs []Tensor, transform geometry.Transform, g detectionGolden, overlap, tolerance float64) {
	t.Helper()
	answer, err := newDecoder(t, d, outputs).Decode(outputs, transform, Params{})
	if err != nil {
		t.Fatal(err)
	}
	got := answer.(*Detected)
	if got.Width != g.Image[0] || got.Height != g.Image[1] {
		t.Errorf("the image is %d×%d, want %v", got.Width, got.Height, g.Image)
	}
	if len(got.Boxes) != len(g.Boxes) {
		t.Fatalf("%d boxes, want %d: %+v", len(got.Boxes), len(g.Boxes), got.Boxes)
	}
	for i, want := range g.Boxes {
		b := got.Boxes[i]
		same := iou(rect{b.X1, b.Y1, b.X2, b.Y2}, rect{want[2], want[3], want[4], want[5]})
		if b.Class != int(want[0]) || math.Abs(b.Score-want[1]) > tolerance || same < overlap {
			t.Errorf("box %d is %+v, want %v (IoU %.4f)", i, b, want, same)
		}
		if b.Label != d.Labels[b.Class] {
			t.Errorf("box %d of class %d is called %q", i, b.Class, b.Label)
		}
	}
}

func ExampleNew() {
	def := repository.Definition{Task: repository.Classification, Labels: []string{"cat", "dog"},
		Output: repository.Output{Decode: repository.DecodeSoftmax}}.WithDefaults()
	row := Tensor{Name: "y", DType: repository.Float16, Shape: []int64{2}}
	decoder, err := New(def, []Tensor{row})
	if err != nil {
		panic(err)
	}
	row.Data = binary.NativeEndian.AppendUint16(nil, 0x3c00)      // 1
	row.Data = binary.NativeEndian.AppendUint16(row.Data, 0x4000) // 2
	answer, err := decoder.Decode([]Tensor{row}, geometry.Transform{}, Params{TopK: 1})
	if err != nil {
		panic(err)
	}
	text, _ := json.Marshal(answer)
	fmt.Println(string(text))
	// Output: {"top":[{"class":1,"label":"dog","score":0.7310585786300049}]}
}
