package postprocess

import (
	"bytes"
	"image"
	"math"
	"testing"

	"fovea/internal/repository"
	"fovea/preprocess/geometry"
)

// taskCase is a case of testdata/tasks.json, made by make_tasks.py.
type taskCase struct {
	decoderCase

	Task      repository.Task
	Transform geometry.Transform
	Masks     []string
	Points    [][][]float64
	Corners   [][4][2]float64
	Map       string
}

func taskCases(t testing.TB) []taskCase {
	g := golden[struct{ Cases []taskCase }](t, "tasks.json")
	if len(g.Cases) == 0 {
		t.Fatal("no cases")
	}
	return g.Cases
}

// open returns the resolved definition of a case and its outputs.
func (c *taskCase) open(t testing.TB) (repository.Definition, []Tensor) {
	t.Helper()
	return c.openAs(t, c.Task, c.Transform)
}

// decoded is the prediction of a case.
func (c *taskCase) decoded(t testing.TB, p Params) Prediction {
	t.Helper()
	d, outputs := c.open(t)
	answer, err := newDecoder(t, d, outputs).Decode(outputs, c.Transform, p)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

func TestTasksGolden(t *testing.T) {
	for _, c := range taskCases(t) {
		t.Run(c.Name, func(t *testing.T) {
			answer := c.decoded(t, c.Params)
			if m, ok := answer.(*ClassMap); ok {
				c.compareMap(t, m)
				return
			}
			objects, ok := answer.(Objects)
			if !ok {
				t.Fatalf("%T", answer)
			}
			if objects.Len() != len(c.Boxes) || len(c.Boxes) == 0 {
				t.Fatalf("%d boxes, want %d", objects.Len(), len(c.Boxes))
			}
			for i, want := range c.Boxes {
				b := objects.Box(i)
				far := math.Abs(b.Score - want[1])
				for k, v := range []float64{b.X1, b.Y1, b.X2, b.Y2} {
					far = max(far, math.Abs(v-want[2+k]))
				}
				if b.Class != int(want[0]) || far > 1e-3 || b.Label != c.Labels[b.Class] {
					t.Errorf("box %d is %+v, want %v", i, b, want)
				}
			}
			c.compareMore(t, answer)
		})
	}
}

// compareMore compares what objects have besides boxes.
func (c *taskCase) compareMore(t *testing.T, answer Prediction) {
	switch a := answer.(type) {
	case *Segmented:
		for i, want := range c.Masks {
			compareMask(t, i, a.Boxes[i].Mask, bytesOf(t, want))
		}
	case *Posed:
		for i, points := range c.Points {
			for j, want := range points {
				k := a.Boxes[i].Keypoints[j]
				if math.Hypot(k.X-want[0], k.Y-want[1]) > 1e-3 || (k.Visibility != nil) != (len(want) > 2) || k.Visibility != nil && math.Abs(*k.Visibility-want[2]) > 1e-6 {
					t.Errorf("point %d of box %d is %+v, want %v", j, i, k, want)
				}
			}
		}
	case *Oriented:
		for i, corners := range c.Corners {
			b := a.Boxes[i]
			for k, want := range corners {
				if math.Hypot(b.Corners[k][0]-want[0], b.Corners[k][1]-want[1]) > 1e-3 {
					t.Errorf("corner %d of box %d is %v, want %v", k, i, b.Corners[k], want)
				}
			}
			x, y := b.CX-b.W/2*math.Cos(b.Angle), b.CY-b.W/2*math.Sin(b.Angle)
			side := func(p, q int) float64 {
				return math.Hypot(x-(corners[p][0]+corners[q][0])/2, y-(corners[p][1]+corners[q][1])/2)
			}
			if b.Angle < 0 || b.Angle >= math.Pi || min(side(0, 3), side(1, 2)) > 1e-3 {
				t.Errorf("box %d: the center, the sides and the angle do not give the corners: %+v", i, b)
			}
		}
	default:
		t.Errorf("%T", answer)
	}
}

// compareMask compares all pixels, of which a few lie so near to the threshold that rounding decides.
func compareMask(t *testing.T, i int, m *Mask, want []byte) {
	t.Helper()
	got := m.Bitmap(image.Rect(0, 0, m.Width, m.Height))
	wrong, area := 0, 0
	for at, bit := range got {
		expected := want[at/8] >> (7 - at%8) & 1
		area += int(expected)
		if bit != expected {
			wrong++
		}
	}
	if wrong*500 > area || area == 0 || m.Area() == 0 {
		t.Errorf("mask %d: %d pixels of %d differ", i, wrong, area)
	}
}

func (c *taskCase) compareMap(t *testing.T, m *ClassMap) {
	got, err := m.Pixels()
	if err != nil {
		t.Fatal(err)
	}
	want := bytesOf(t, c.Map)
	if len(got) != len(want) || m.MapWidth != c.Transform.Width || m.MapHeight != c.Transform.Height {
		t.Fatalf("%d pixels, want %d", len(got), len(want))
	}
	wrong := 0
	var areas [256]int
	for i := range want {
		areas[got[i]]++
		if got[i] != want[i] {
			wrong++
		}
	}
	if wrong*1000 > len(want) {
		t.Errorf("%d of %d pixels differ", wrong, len(want))
	}
	total := 0
	for _, class := range m.Classes {
		if class.Area != areas[class.Class] || class.Label != c.Labels[class.Class] || math.Abs(class.Share*float64(len(want))-float64(class.Area)) > 1e-6 {
			t.Errorf("class %+v, want an area of %d", class, areas[class.Class])
		}
		total += class.Area
	}
	if total != len(want) {
		t.Errorf("areas add up to %d", total)
	}
	masks, err := c.decoded(t, Params{Encoding: EncodingRLE}).(*ClassMap).Pixels()
	if err != nil || !bytes.Equal(masks, got) {
		t.Errorf("the masks of the classes differ from the map: %v", err)
	}
}
