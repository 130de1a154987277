package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// pixelsOf is the input x of 2×1 pixels in color, which the graph halves.
func pixelsOf() repository.Input {
	return repository.Input{Name: "x", Width: 2, Height: 1, DType: repository.Float32, Color: repository.ColorRGB, Layout: "nchw",
		Normalize: repository.NormalizeGraph, Scale: 0.5}.WithDefaults()
}

// TestGraphsTakePixels runs files whose graphs normalize, with external data, maps of scores and the parallel session.
func TestGraphsTakePixels(t *testing.T) {
	open(t)
	for _, external := range []bool{false, true} {
		for _, maps := range []bool{false, true} {
			t.Run(fmt.Sprintf("external data: %v, maps: %v", external, maps), func(t *testing.T) {
				path := pixelFile(t, external, maps)
				file, err := ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := file.TakePixels(pixelsOf()); err != nil {
					t.Fatal(err)
				}
				s := load(t, path, Options{File: file})
				if err := s.EnableParallel(t.Context(), 2); err != nil {
					t.Fatal(err)
				}
				if in := s.Inputs(); len(in) != 1 || in[0].Name != "x" || in[0].DType != repository.Uint8 {
					t.Errorf("inputs %v", in)
				}
				b := batchOf(t, s, BatchSpec{Buckets: []int{1, 2}})
				copy(b.Input(0, 0), []byte{2, 4, 6, 8, 10, 12})
				copy(b.Input(0, 1), []byte{255, 0, 0, 0, 0, 0})
				for _, run := range []func() error{func() error { return b.Run(t.Context(), 2) }, func() error { return b.RunParallel(t.Context(), 2) }} {
					if err := run(); err != nil {
						t.Fatal(err)
					}
					for row, want := range [][]float32{{3, 7, 11}, {127.5, 0, 0}} {
						if got := floats(b.Outputs(row)[0].Data); !slices.Equal(got, want) {
							t.Errorf("row %d: %v, want %v", row, got, want)
						}
					}
				}
			})
		}
	}
}

// pixelFile is a file whose output, or whose maps, are the sums of the channels of x.
func pixelFile(t *testing.T, external, maps bool) string {
	t.Helper()
	weights := make([]byte, 6*3*4)
	put(weights, []float32{1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1})
	m := &onnxwriter.Model{}
	m.Input("x", onnxwriter.Float, "n", 3, 1, 2)
	m.Weights = []onnxwriter.Tensor{{Name: "w", Type: onnxwriter.Float, Dims: []int{6, 3}, Raw: weights}}
	folder := t.TempDir()
	if external {
		m.Weights[0].External = []string{"location", "w.bin", "offset", "0", "length", "72"}
		if err := os.WriteFile(filepath.Join(folder, "w.bin"), weights, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	m.Node("Flatten", "flat", nil, "x")
	m.Node("MatMul", "sums", nil, "flat", "w")
	if maps {
		m.Node("ml.ZipMap", "maps", onnxwriter.Attributes{"classlabels_int64s": []int{0, 1, 2}}, "sums")
		m.MapsOutput("maps", onnxwriter.Int64)
	} else {
		m.Output("sums", onnxwriter.Float, "n", 3)
	}
	path := filepath.Join(folder, "model.onnx")
	if err := os.WriteFile(path, m.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTakePixelsNeedsTheInput(t *testing.T) {
	f := &File{Inputs: []Info{{Name: "y", DType: repository.Float32}}}
	if err := f.TakePixels(pixelsOf()); err == nil || !strings.HasPrefix(err.Error(), "input.name: ") {
		t.Errorf("%v", err)
	}
}

// TestFilesTooLargeToRewrite has a file with a hole, whose message is larger than protobuf can parse.
func TestFilesTooLargeToRewrite(t *testing.T) {
	open(t)
	path := writeModel(t, onnxwriter.Identity(onnxwriter.Float, "n", 3, 1, 2))
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	stat, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	length := maxProtobuf - stat.Size() - 10 // of the model's doc_string
	_, err = file.Write(binary.AppendUvarint([]byte{6<<3 | 2}, uint64(length)))
	if err := errors.Join(err, file.Truncate(maxProtobuf-4), file.Close()); err != nil {
		t.Fatal(err)
	}
	options, err := ort.NewSessionOptions()
	if err != nil {
		t.Fatal(err)
	}
	defer options.Destroy()
	in := pixelsOf()
	_, err = newRewrittenSession(path, repository.InputChanges{Pixels: &in}, nil, []string{repository.PixelInput("x")}, []string{"y"}, options)
	if err == nil || !strings.Contains(err.Error(), "a model with ZipMap, input.normalize: graph or TensorRT may have at most") {
		t.Errorf("%v", err)
	}
}
