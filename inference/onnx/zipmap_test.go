package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// zipMapFile is a file whose output is the maps of x times (2, 3, 4). External weights lie in a folder next to it.
func zipMapFile(t *testing.T, external bool) string {
	t.Helper()
	weights := make([]byte, 12)
	put(weights, []float32{2, 3, 4})
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 1)
	m.Weights = []onnxwriter.Tensor{{Name: "w", Type: onnxwriter.Float, Dims: []int{1, 3}, Raw: weights}}
	m.Node("MatMul", "hidden", nil, "x", "w")
	m.Node("ml.ZipMap", "maps", onnxwriter.Attributes{"classlabels_int64s": []int{0, 1, 2}}, "hidden")
	m.MapsOutput("maps", onnxwriter.Int64)
	folder := t.TempDir()
	if external {
		m.Weights[0].External = []string{"location", "data/w.bin", "offset", "0", "length", "12"}
		if err := os.Mkdir(filepath.Join(folder, "data"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, "data", "w.bin"), weights, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(folder, "model.onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestScoresOfMapsAreFetched(t *testing.T) {
	open(t)
	for _, external := range []bool{false, true} {
		t.Run(fmt.Sprintf("external data: %v", external), func(t *testing.T) {
			s := load(t, zipMapFile(t, external), Options{})
			if err := s.EnableParallel(t.Context(), 2); err != nil {
				t.Fatal(err)
			}
			want := []Info{{Name: "maps", DType: repository.Float32, Shape: []int64{-1, 3}}}
			if got := s.Outputs(); !slices.EqualFunc(got, want, func(a, b Info) bool {
				return a.Name == b.Name && a.DType == b.DType && slices.Equal(a.Shape, b.Shape)
			}) {
				t.Errorf("outputs %v, want %v", got, want)
			}
			b := batchOf(t, s, BatchSpec{Rows: 2, RowShapes: [][]int64{{1}}})
			for row := range 2 {
				put(b.Input(0, row), []float32{float32(row + 1)})
			}
			for _, run := range []func() error{func() error { return b.Run(t.Context(), 2) }, func() error { return b.RunParallel(t.Context(), 2) }} {
				if err := run(); err != nil {
					t.Fatal(err)
				}
				for row, want := range [][]float32{{2, 3, 4}, {4, 6, 8}} {
					if got := floats(b.Outputs(row)[0].Data); !slices.Equal(got, want) {
						t.Errorf("row %d: %v, want %v", row, got, want)
					}
				}
			}
		})
	}
}
