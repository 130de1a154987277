package postprocess

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"fovea/internal/config"
	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// decoderCase is a case of testdata/decoders.json, made by make_decoders.py.
type decoderCase struct {
	Name    string
	Output  json.RawMessage
	Labels  []string
	Params  Params
	Outputs map[string]struct {
		Shape []int64
		DType repository.DType
		Data  string
	}
	Boxes [][6]float64
}

func decoderCases(t testing.TB) (geometry.Transform, []decoderCase) {
	g := golden[struct {
		Image geometry.Transform
		Cases []decoderCase
	}](t, "decoders.json")
	if len(g.Cases) == 0 {
		t.Fatal("no cases")
	}
	return g.Image, g.Cases
}

// open returns the resolved definition of a case and its outputs.
func (c *decoderCase) open(t testing.TB, image geometry.Transform) (repository.Definition, []Tensor) {
	t.Helper()
	return c.openAs(t, repository.Detection, image)
}

func (c *decoderCase) openAs(t testing.TB, task repository.Task, image geometry.Transform) (repository.Definition, []Tensor) {
	t.Helper()
	d := repository.Definition{Task: task, Labels: c.Labels, LabelsFile: "labels.txt"}
	report := config.ParseStrict([]byte(`{"output": `+string(c.Output)+"}"), "model.yaml", &d)
	if err := report.Err(); err != nil {
		t.Fatal(err)
	}
	var outputs []Tensor
	var infos []repository.TensorInfo
	for name, o := range c.Outputs {
		outputs = append(outputs, Tensor{name, o.DType, o.Shape, bytesOf(t, o.Data)})
		infos = append(infos, repository.TensorInfo{Name: name, DType: o.DType, Shape: append([]int64{1}, o.Shape...)})
	}
	input := repository.TensorInfo{Name: "images", DType: repository.Float32, Shape: []int64{1, 3, int64(image.InputH), int64(image.InputW)}}
	d, err := d.WithDefaults().Resolve([]repository.TensorInfo{input}, infos)
	if err != nil {
		t.Fatal(err)
	}
	return d, outputs
}

func TestDecodersGolden(t *testing.T) {
	image, cases := decoderCases(t)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			d, outputs := c.open(t, image)
			answer, err := newDecoder(t, d, outputs).Decode(outputs, image, c.Params)
			if err != nil {
				t.Fatal(err)
			}
			got := answer.(*Detected).Boxes
			if len(got) != len(c.Boxes) {
				t.Fatalf("%d boxes, want %d", len(got), len(c.Boxes))
			}
			for i, b := range got {
				want := c.Boxes[i]
				far := 0.0
				for k, v := range []float64{b.X1, b.Y1, b.X2, b.Y2} {
					far = max(far, math.Abs(v-want[2+k]))
				}
				if b.Class != int(want[0]) || b.Label != c.Labels[b.Class] || math.Abs(b.Score-want[1]) > 1e-6 || far > 1e-3 {
					t.Errorf("box %d is %+v, want %v", i, b, want)
				}
			}
		})
	}
}

// TestOtherTypesGiveTheSame: float64 outputs give what float32 ones give.
func TestOtherTypesGiveTheSame(t *testing.T) {
	image, cases := decoderCases(t)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			d, outputs := c.open(t, image)
			want, err := newDecoder(t, d, outputs).Decode(outputs, image, c.Params)
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range outputs {
				if values, _ := o.floats(nil); o.DType == repository.Float32 {
					outputs[i] = Tensor{o.Name, repository.Float64, o.Shape, encodeFloats(repository.Float64, values)}
				}
			}
			got, err := newDecoder(t, d, outputs).Decode(outputs, image, c.Params)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// TestOrderOfBoxesDoesNotMatter: with scores that all differ, boxes in another order give the same prediction.
func TestOrderOfBoxesDoesNotMatter(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	image, cases := decoderCases(t)
	for _, c := range cases {
		d, outputs := c.open(t, image)
		if d.Output.Decode == repository.DecodeYOLOv5Raw {
			continue // a grid
		}
		t.Run(c.Name, func(t *testing.T) {
			decoder := newDecoder(t, d, outputs)
			want, err := decoder.Decode(outputs, image, c.Params)
			if err != nil {
				t.Fatal(err)
			}
			var order []int
			for i := range outputs {
				order = permute(r, &outputs[i], decoder, order)
			}
			got, err := decoder.Decode(outputs, image, c.Params)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%+v, %v; want %+v", got, err, want)
			}
		})
	}
}

// permute puts the boxes of an output into an order, made if empty.
func permute(r *rand.Rand, o *Tensor, decoder Decoder, order []int) []int {
	shape, size := repository.Squeeze(o.Shape, 1), o.DType.Size()
	if len(shape) > 1 {
		shape = repository.Squeeze(o.Shape, 2)
	}
	n, width := int(shape[0]), len(o.Data)/size/int(shape[0])
	perBox, perNumber := width, 1
	if y, ok := decoder.(*yolo); ok && y.turned {
		n, width = width, n
		perBox, perNumber = 1, n
	}
	if len(order) == 0 {
		order = r.Perm(n)
	}
	data := make([]byte, len(o.Data))
	for to, from := range order {
		for k := range width {
			at, source := (to*perBox+k*perNumber)*size, (from*perBox+k*perNumber)*size
			copy(data[at:at+size], o.Data[source:source+size])
		}
	}
	o.Data = data
	return order
}

// TestTurnedBoxesGiveTheSame compares [4+classes,n] with [n,4+classes], with many scores that are equal.
func TestTurnedBoxesGiveTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	image := geometry.Transform{Width: 640, Height: 640, InputW: 640, InputH: 640, ScaleX: 1, ScaleY: 1}
	for _, several := range []bool{false, true} {
		for range 50 {
			n, width := 30+r.IntN(50), 5+r.IntN(20)
			values := make([]float32, n*width)
			for i := range values {
				values[i] = float32(r.IntN(8)) / 10
				if i/n < 4 {
					values[i] = 1 + 200*r.Float32()
				}
			}
			def := yoloDefinition(func(o *repository.Output) { o.MultiLabel = several })
			columns := find(t, def, image, Params{}, tensor("y", []int64{int64(width), int64(n)}, values...))
			rows := find(t, def, image, Params{}, tensor("y", []int64{int64(n), int64(width)}, turned(values, width)...))
			if len(columns) == 0 || !slices.Equal(columns, rows) {
				t.Fatalf("[%d,%d]: %+v, turned %+v", width, n, columns, rows)
			}
		}
	}
}
