package onnx

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"fovea/internal/float16"
	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// pooled is a model of open height and width: y is the mean of each channel, z is twice the input, h is z as float16.
func pooled(dims ...any) *onnxwriter.Model {
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, dims...)
	m.Floats("two", []float32{2})
	m.Node("ReduceMean", "y", onnxwriter.Attributes{"axes": []int{-2, -1}, "keepdims": 0}, "x")
	m.Node("Mul", "z", nil, "x", "two")
	m.Node("Cast", "h", onnxwriter.Attributes{"to": int(onnxwriter.Float16)}, "z")
	unknown := func(rank int) []any { return slices.Repeat([]any{"?"}, rank) }
	m.Output("y", onnxwriter.Float, unknown(len(dims)-2)...)
	m.Output("z", onnxwriter.Float, unknown(len(dims))...)
	m.Output("h", onnxwriter.Float16, unknown(len(dims))...)
	return m
}

// openSpec are batches of one image of open size. An unbatched one has no batch dimension.
func openSpec() BatchSpec {
	return BatchSpec{Rows: 1, RowShapes: [][]int64{{2, 3, 4}},
		TrialShapes: func(trial int) [][]int64 { return [][]int64{{2, int64(3 + trial), int64(7 - trial)}} }}
}

func TestOpenSizesChangeBetweenRuns(t *testing.T) {
	open(t)
	for what, dims := range map[string][]any{"with a batch dimension": {"n", 2, "h", "w"}, "with a batch of one": {1, 2, "h", "w"},
		"without a batch dimension": {2, "h", "w"}, "without any fixed size": {"c", "h", "w"}} {
		t.Run(what, func(t *testing.T) {
			s := load(t, writeModel(t, pooled(dims...)), Options{})
			b := batchOf(t, s, openSpec())
			unbatched := len(dims) == 3
			for _, size := range [][2]int{{3, 4}, {5, 2}, {1, 1}, {300, 200}, {2, 5}, {3, 4}} {
				h, w := size[0], size[1]
				if err := b.Reshape(0, []int64{2, int64(h), int64(w)}); err != nil {
					t.Fatal(err)
				}
				row := b.Input(0, 0)
				if len(row) != 8*h*w || cap(row) != len(row) {
					t.Fatalf("%v: the row has %d bytes of %d", size, len(row), cap(row))
				}
				values := make([]float32, 2*h*w)
				for i := range values {
					values[i] = float32(1 + i/(h*w))
				}
				put(row, values)
				if err := b.Run(t.Context(), 1); err != nil {
					t.Fatal(err)
				}
				out := b.Outputs(0)
				if got := floats(out[0].Data); !slices.Equal(got, []float32{1, 2}) {
					t.Errorf("%v: the means are %v", size, got)
				}
				shape := fmt.Sprint([]int{2, h, w})
				if fmt.Sprint(out[1].Shape) != shape || fmt.Sprint(out[2].Shape) != shape || fmt.Sprint(out[0].Shape) != "[2]" {
					t.Errorf("%v: the shapes are %v, %v and %v", size, out[0].Shape, out[1].Shape, out[2].Shape)
				}
				doubled := floats(out[1].Data)
				for i := range values {
					if half := float16.Value(binary.NativeEndian.Uint16(out[2].Data[2*i:])); doubled[i] != 2*values[i] || half != 2*values[i] {
						t.Fatalf("%v: element %d is %v and %v, want %v", size, i, doubled[i], half, 2*values[i])
					}
				}
				if b.layouts[1].unbatched != unbatched {
					t.Errorf("%v: unbatched is %v", size, b.layouts[1].unbatched)
				}
			}
		})
	}
}

func TestMemoryOfOpenSizesGrowsAndShrinks(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, writeModel(t, pooled("n", 2, "h", "w")), Options{}), openSpec())
	before := Live()
	have := func(h, w int64) int {
		if err := b.Reshape(0, []int64{2, h, w}); err != nil {
			t.Fatal(err)
		}
		if Live() != before {
			t.Fatalf("%d native values more than before", Live()-before)
		}
		return len(b.inputs[0].block.Bytes())
	}
	small := have(100, 100)
	if grown := have(200, 100); grown < 2*small {
		t.Errorf("%d bytes for 200×100 pixels, %d for half", grown, small)
	} else if kept := have(10, 10); kept != grown {
		t.Errorf("%d bytes are not kept for a small image: %d", grown, kept)
	}
	large := have(3000, 3000)
	if kept := have(2000, 2000); kept != large {
		t.Errorf("of %d bytes, %d are left for an image half as large", large, kept)
	}
	if shrunk := have(100, 100); shrunk != small {
		t.Errorf("%d bytes are left after a large image, want %d", shrunk, small)
	}
}

func TestImpossibleShapesAreRefused(t *testing.T) {
	open(t)
	s := load(t, writeModel(t, pooled("n", 2, "h", "w")), Options{})
	b := batchOf(t, s, openSpec())
	for what, c := range map[string]struct {
		shape []int64
		want  string
	}{
		"other channels":          {[]int64{3, 4, 4}, "the file has [2 -1 -1]"},
		"another rank":            {[]int64{2, 4}, "the file has"},
		"nothing":                 {[]int64{2, 0, 4}, "must be fixed and positive"},
		"more than fits anywhere": {[]int64{2, 1 << 20, 1 << 20}, "more than"},
	} {
		if err := b.Reshape(0, c.shape); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
		if err := b.Run(t.Context(), 1); err != nil || len(b.Input(0, 0)) != 2*3*4*4 {
			t.Errorf("%s: the batch is not as before: %v", what, err)
		}
	}
	two := batchOf(t, s, BatchSpec{Rows: 2, RowShapes: [][]int64{{2, 3, 4}}})
	if err := two.Reshape(0, []int64{2, 4, 4}); err == nil || !strings.Contains(err.Error(), "has 2 rows") {
		t.Errorf("a batch of two was reshaped: %v", err)
	}
}

// TestOpenFloat16Outputs fetches float16 whose shape depends on the values: columns above 0.5 in a batch, and indices.
func TestOpenFloat16Outputs(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, "testdata/halfopen.onnx", Options{}), BatchSpec{Rows: 1})
	for n := range 7 {
		put(b.Input(0, 0), ones(n))
		if err := b.Run(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		out := b.Outputs(0)[0]
		if fmt.Sprint(out.Shape) != fmt.Sprint([]int{2, n}) || len(out.Data) != 4*n || out.DType != repository.Float16 {
			t.Fatalf("%d values: %v with %d bytes", n, out.Shape, len(out.Data))
		}
		for i := range n {
			if got := float16.Value(binary.NativeEndian.Uint16(out.Data[2*(n+i):])); got != float32(i) {
				t.Errorf("%d values: index %d is %v", n, i, got)
			}
		}
	}
	m := chosen("n", "k", 4)
	m.Nodes[len(m.Nodes)-1].Out[0] = "wide"
	m.Node("Cast", "y", onnxwriter.Attributes{"to": int(onnxwriter.Float16)}, "wide")
	m.Outputs = nil
	m.Output("y", onnxwriter.Float16, "k", 4)
	b = batchOf(t, load(t, writeModel(t, m), Options{}), BatchSpec{Rows: 1, Trial: func(_, _, _ int, memory []byte) { put(memory, ones(2)) }})
	for _, n := range []int{3, 0, 6, 2} { // the trial runs always found two
		put(b.Input(0, 0), ones(n))
		if err := b.Run(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if out := b.Outputs(0)[0]; len(out.Data) != 8*n {
			t.Errorf("%d boxes have %d bytes, shape %v", n, len(out.Data), out.Shape)
		}
	}
}

// TestUnbatchedModels has outputs whose first dimension is 1 in every trial run.
func TestUnbatchedModels(t *testing.T) {
	open(t)
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, 3, "h", "w")
	m.Floats("scale", []float32{1})
	m.Node("Mul", "s", nil, "x", "scale")
	m.Node("ReduceMax", "y", onnxwriter.Attributes{"axes": []int{0}, "keepdims": 1}, "s")
	m.Output("y", onnxwriter.Float, "n", "h", "w")
	s := load(t, writeModel(t, m), Options{})
	if got := s.FixedBatch([][]int64{{3, 2, 2}}); got != 1 {
		t.Errorf("the batch is fixed at %d", got)
	}
	b := batchOf(t, s, BatchSpec{Buckets: []int{1}, RowShapes: [][]int64{{3, 2, 2}}})
	put(b.Input(0, 0), []float32{1, 2, 3, 4, 8, 7, 6, 5, 0, 0, 0, 9})
	if err := b.Run(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	out := b.Outputs(0)[0]
	if fmt.Sprint(out.Shape) != "[1 2 2]" || !slices.Equal(floats(out.Data), []float32{8, 7, 6, 9}) {
		t.Errorf("%v %v", out.Shape, floats(out.Data))
	}
	if one := batchOf(t, s, BatchSpec{Buckets: []int{1, 2}, RowShapes: [][]int64{{3, 2, 2}}}); !slices.Equal(one.sizes(), []int{1}) {
		t.Errorf("the batch sizes are %v", one.sizes())
	}
}
