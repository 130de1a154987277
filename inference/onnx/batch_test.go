package onnx

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"fovea/internal/repository"
)

type golden struct {
	X [][]float32 `json:"x"` // rows of [3,6,5]
	Y [][]float32 `json:"y"` // rows of [2]
}

func readGolden(t *testing.T) (g golden) {
	t.Helper()
	if err := json.Unmarshal(read(t, "testdata/golden.json"), &g); err != nil {
		t.Fatal(err)
	}
	return g
}

func put(row []byte, values []float32) {
	for i, v := range values {
		binary.NativeEndian.PutUint32(row[4*i:], math.Float32bits(v))
	}
}

func near(got, want []float32) bool {
	return slices.EqualFunc(got, want, func(g, w float32) bool { return math.Abs(float64(g-w)) <= 1e-5 })
}

func TestOutputsMatchNumPy(t *testing.T) {
	open(t)
	g := readGolden(t)
	for _, model := range []string{"conv", "external"} {
		t.Run(model, func(t *testing.T) {
			b := batchOf(t, load(t, "testdata/"+model+".onnx", Options{Threads: 2}), BatchSpec{Buckets: []int{8, 1, 4}})
			if !slices.Equal(b.sizes(), []int{1, 4, 8}) || b.rows != 8 {
				t.Fatalf("buckets %v, rows %d", b.sizes(), b.rows)
			}
			for _, rows := range b.sizes() {
				for row := range rows {
					put(b.Input(0, row), g.X[row])
				}
				if err := b.Run(t.Context(), rows); err != nil {
					t.Fatal(err)
				}
				for row := range rows {
					if got := floats(b.Outputs(row)[0].Data); !near(got, g.Y[row]) {
						t.Errorf("row %d of %d is %v, want %v", row, rows, got, g.Y[row])
					}
				}
			}
		})
	}
}

func TestUnwrittenRowsAreNaNAndIndependent(t *testing.T) {
	open(t)
	g := readGolden(t)
	b := batchOf(t, load(t, "testdata/conv.onnx", Options{}), BatchSpec{Rows: 4})
	for row := range 4 {
		for _, v := range floats(b.Input(0, row)) {
			if v == v {
				t.Fatalf("a new batch holds %v in row %d, want NaN", v, row)
			}
		}
		if out := floats(b.Outputs(row)[0].Data); out[0] == out[0] {
			t.Fatalf("a new batch holds the answer %v in row %d, want NaN", out, row)
		}
	}
	put(b.Input(0, 0), g.X[0])
	put(b.Input(0, 2), g.X[2])
	if err := b.Run(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	for _, row := range []int{0, 2} {
		if got := floats(b.Outputs(row)[0].Data); !near(got, g.Y[row]) {
			t.Errorf("row %d is %v next to rows of NaN, want %v", row, got, g.Y[row])
		}
	}
}

func TestMemoryIsDenseAndAligned(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, "testdata/types.onnx", Options{}), BatchSpec{Rows: 3})
	for i := range b.inputs {
		first := b.Input(i, 0)
		if uintptr(unsafe.Pointer(&first[0]))%64 != 0 {
			t.Errorf("input %d does not begin on 64 bytes", i)
		}
		second := b.Input(i, 1)
		if uintptr(unsafe.Pointer(&second[0]))-uintptr(unsafe.Pointer(&first[0])) != uintptr(len(first)) {
			t.Errorf("input %d is not dense", i)
		}
		if cap(first) != len(first) {
			t.Errorf("appending to a row of input %d reaches the next", i)
		}
	}
}

func TestElementTypes(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, "testdata/types.onnx", Options{}), BatchSpec{Buckets: []int{1, 2}})
	for row := range 2 {
		put(b.Input(0, row), []float32{1.5, -2, float32(row)})
		for i, v := range []uint16{0x3C00, 0xC000, 0x3555} { // 1, -2, 0.33325195
			binary.NativeEndian.PutUint16(b.Input(1, row)[2*i:], v)
		}
		copy(b.Input(2, row), []byte{0, 255, byte(row)})
		for i, v := range []int32{-5, math.MaxInt32} {
			binary.NativeEndian.PutUint32(b.Input(3, row)[4*i:], uint32(v))
		}
		binary.NativeEndian.PutUint64(b.Input(4, row), 1<<40)
	}
	if err := b.Run(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	for row := range 2 {
		out := b.Outputs(row)
		if got := floats(out[0].Data); !slices.Equal(got, []float32{2.5, -1, float32(row) + 1}) {
			t.Errorf("float32: %v", got)
		}
		for i, want := range []uint16{0x4000, 0xC400, 0x3955} { // 2, -4, 0.6665039
			if got := binary.NativeEndian.Uint16(out[1].Data[2*i:]); got != want {
				t.Errorf("float16 %d is %#x, want %#x", i, got, want)
			}
		}
		if !slices.Equal(out[2].Data, []byte{255, 0, 255 - byte(row)}) {
			t.Errorf("uint8: %v", out[2].Data)
		}
		for i, want := range []int32{-6, math.MaxInt32 - 1} {
			if got := int32(binary.NativeEndian.Uint32(out[3].Data[4*i:])); got != want {
				t.Errorf("int32 %d is %d, want %d", i, got, want)
			}
		}
		if got := binary.NativeEndian.Uint64(out[4].Data); got != 3<<40 {
			t.Errorf("int64: %d", got)
		}
		if out[4].Name != "lo" || out[4].DType != repository.Int64 || !slices.Equal(out[4].Shape, []int64{1}) {
			t.Errorf("the last output is described as %+v", out[4])
		}
	}
}

func TestOpenShapesAreDetermined(t *testing.T) {
	open(t)
	s := load(t, "testdata/open.onnx", Options{})
	b := batchOf(t, s, BatchSpec{Buckets: []int{1, 2}, RowShapes: [][]int64{{1, 4, 6}}})
	if shape := b.Outputs(1)[0].Shape; !slices.Equal(shape, []int64{1, 2, 3}) || len(b.Outputs(1)[0].Data) != 24 {
		t.Fatalf("row shape %v with %d bytes", shape, len(b.Outputs(1)[0].Data))
	}
	values := make([]float32, 24)
	for i := range values {
		values[i] = float32(i)
	}
	put(b.Input(0, 1), values)
	if err := b.Run(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	if got := floats(b.Outputs(1)[0].Data); !near(got, []float32{3.5, 5.5, 7.5, 15.5, 17.5, 19.5}) {
		t.Errorf("means %v", got)
	}
	other := batchOf(t, s, BatchSpec{Rows: 2, RowShapes: [][]int64{{1, 2, 2}}})
	if shape := other.Outputs(0)[0].Shape; !slices.Equal(shape, []int64{1, 1, 1}) {
		t.Errorf("with another size the row shape is %v", shape)
	}
}

func TestOutputShapeVariesBetweenRuns(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, "testdata/columns.onnx", Options{}), BatchSpec{Buckets: []int{1, 2}})
	if shape := b.Outputs(0)[0].Shape; !slices.Equal(shape, []int64{-1}) {
		t.Fatalf("before a run the row shape is %v, want [-1]", shape)
	}
	put(b.Input(0, 0), []float32{1, 0, 0, 2, 0, 0})
	put(b.Input(0, 1), []float32{0, 0, 0, 3, 4, 0})
	for range 3 {
		for _, c := range []struct {
			rows int
			want [][]float32
		}{
			{2, [][]float32{{1, 2, 0}, {0, 3, 4}}},
			{1, [][]float32{{1, 2}}},
		} {
			if err := b.Run(t.Context(), c.rows); err != nil {
				t.Fatal(err)
			}
			for row, want := range c.want {
				out := b.Outputs(row)[0]
				if got := floats(out.Data); !slices.Equal(got, want) || !slices.Equal(out.Shape, []int64{int64(len(want))}) {
					t.Errorf("row %d of %d is %v %v, want %v", row, c.rows, out.Shape, got, want)
				}
			}
		}
	}
	clear(b.Input(0, 0))
	if err := b.Run(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if out := b.Outputs(0)[0]; len(out.Data) != 0 || !slices.Equal(out.Shape, []int64{0}) {
		t.Errorf("without columns the row is %v with %d bytes", out.Shape, len(out.Data))
	}
}

func TestOutputShapeChangesAfterTrialRuns(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, "testdata/surprise.onnx", Options{}), BatchSpec{Rows: 1})
	for _, c := range []struct{ in, want []float32 }{
		{[]float32{0, 0, 0, 0, 0, 0}, []float32{7}},
		{[]float32{9, 0, 8, 0, 0, 3}, []float32{7, 9, 8, 3}},
		{[]float32{0, 0, 5, 0, 0, 0}, []float32{7, 5}},
		{[]float32{0, 0, 0, 0, 0, 0}, []float32{7}},
	} {
		put(b.Input(0, 0), c.in)
		if err := b.Run(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		if out := b.Outputs(0)[0]; !slices.Equal(floats(out.Data), c.want) {
			t.Errorf("%v gives %v %v, want %v", c.in, out.Shape, floats(out.Data), c.want)
		}
	}
}

func TestFixedBatchHasOneBucket(t *testing.T) {
	open(t)
	b := batchOf(t, load(t, "testdata/fixed4.onnx", Options{}), BatchSpec{Rows: 8, Buckets: []int{1, 2, 8}})
	if !slices.Equal(b.sizes(), []int{4}) || b.rows != 4 {
		t.Fatalf("buckets %v, rows %d", b.sizes(), b.rows)
	}
	put(b.Input(0, 0), []float32{1, 2})
	if err := b.Run(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	if got := floats(b.Outputs(0)[0].Data); !slices.Equal(got, []float32{2, 4}) {
		t.Errorf("the one row that was written gives %v", got)
	}
	if err := b.Run(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "[4]") {
		t.Errorf("a run of one row: %v", err)
	}
}

func TestInvalidBatchesAreRefused(t *testing.T) {
	open(t)
	for name, c := range map[string]struct {
		model string
		spec  BatchSpec
		want  string
	}{
		"no rows":                      {"conv", BatchSpec{}, "must be at least 1"},
		"a negative bucket":            {"conv", BatchSpec{Buckets: []int{-1, 4}}, "must be at least 1"},
		"more rows than buckets":       {"conv", BatchSpec{Rows: 9, Buckets: []int{1, 8}}, "must be the number of rows"},
		"another row shape":            {"conv", BatchSpec{Rows: 1, RowShapes: [][]int64{{3, 5, 5}}}, "the file has [3 6 5]"},
		"row shapes of other inputs":   {"conv", BatchSpec{Rows: 1, RowShapes: [][]int64{nil, nil}}, "2 row shapes for 1 inputs"},
		"an open shape that none gave": {"open", BatchSpec{Rows: 1}, "is required"},
		"a row shape with nothing":     {"open", BatchSpec{Rows: 1, RowShapes: [][]int64{{1, 0, 4}}}, "is required"},
		"a row beyond all bounds":      {"open", BatchSpec{Rows: 1, RowShapes: [][]int64{{1, 1 << 40, 1 << 40}}}, "more than"},
		"an output without a batch":    {"summed", BatchSpec{Rows: 2}, "the first dimension must be the batch"},
		"open sizes in larger batches": {"open", BatchSpec{Rows: 2, RowShapes: [][]int64{{1, 4, 4}}, TrialShapes: func(int) [][]int64 { return nil }}, "takes one row"},
	} {
		t.Run(name, func(t *testing.T) {
			s := load(t, "testdata/"+c.model+".onnx", Options{})
			before := Live()
			b, err := s.NewBatch(t.Context(), c.spec)
			if err == nil {
				t.Fatal("made", b.Close())
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %q does not say %q", err, c.want)
			}
			if Live() != before {
				t.Errorf("%d native values are left", Live()-before)
			}
		})
	}
}

func TestBatchesRunConcurrently(t *testing.T) {
	open(t)
	g := readGolden(t)
	s := load(t, "testdata/conv.onnx", Options{})
	var group sync.WaitGroup
	for worker := range 4 {
		b := batchOf(t, s, BatchSpec{Buckets: []int{1, 2}})
		group.Go(func() {
			for i := range 200 {
				row := (worker + i) % 8
				put(b.Input(0, 0), g.X[row])
				if err := b.Run(t.Context(), 1); err != nil {
					t.Error(err)
					return
				}
				if got := floats(b.Outputs(0)[0].Data); !near(got, g.Y[row]) {
					t.Errorf("row %d is %v, want %v", row, got, g.Y[row])
				}
			}
		})
	}
	group.Wait()
}
