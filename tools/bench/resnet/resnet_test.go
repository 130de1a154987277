//go:build !race

// There are no goroutines here for the race detector, under which drawing 25 million weights takes a minute.

package resnet

import (
	"encoding/binary"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"fovea/inference/onnx"
	"fovea/internal/float16"
	"fovea/internal/repository"
	"fovea/internal/testenv"
)

var keep = flag.String("weights", "", "file that TestWeights leaves for testdata/make.py")

// TestWeightsAreResNet50s counts them: torchvision's resnet50 has 25,557,032 parameters and 53,120 running means and
// variances.
func TestWeightsAreResNet50s(t *testing.T) {
	path := *keep
	if path == "" {
		path = filepath.Join(t.TempDir(), "weights.f32")
	}
	if err := WriteWeights(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := info.Size()/4, int64(25_557_032+53_120); got != want {
		t.Errorf("%d weights, want %d", got, want)
	}
}

// TestVariantsAnswerLikeTorchvision runs one image. The golden is torchvision's, in float32 (testdata/make.py).
func TestVariantsAnswerLikeTorchvision(t *testing.T) {
	golden, err := os.ReadFile("testdata/logits.f32")
	if err != nil {
		t.Fatal(err)
	}
	want, most := floats(repository.Float32, golden), 0.0
	for _, v := range want {
		most = max(most, math.Abs(v))
	}
	if err := onnx.Open(testenv.ORTLibrary(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := onnx.Close(); err != nil {
			t.Error(err)
		}
	})
	tolerances := map[repository.DType]float64{ // of the largest logit
		repository.Float32: 1e-5, // sums in another order
		repository.Float16: 5e-3, // weights and sums of 11 bits, through 53 convolutions
	}
	for _, v := range Variants {
		t.Run(v.Name, func(t *testing.T) {
			got := floats(v.Weights, logits(t, v))
			if len(got) != len(want) {
				t.Fatalf("%d logits, want %d", len(got), len(want))
			}
			worst := 0.0
			for i := range want {
				worst = max(worst, math.Abs(got[i]-want[i])/most)
			}
			t.Logf("largest difference: %.1e of the largest logit, %.2f", worst, most)
			if !(worst <= tolerances[v.Weights]) {
				t.Errorf("largest difference %.1e, allowed %.0e", worst, tolerances[v.Weights])
			}
		})
	}
}

// logits runs the test's image.
func logits(t *testing.T, v Variant) (data []byte) {
	dir := t.TempDir()
	if err := v.Write(dir, ""); err != nil {
		t.Fatal(err)
	}
	s, err := onnx.NewSession(filepath.Join(dir, v.Name, "1", "model.onnx"), onnx.Options{Threads: runtime.GOMAXPROCS(0)})
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.NewBatch(t.Context(), onnx.BatchSpec{Rows: 1})
	if err != nil {
		t.Fatal(errors.Join(err, s.Close()))
	}
	defer func() {
		if err := errors.Join(b.Close(), s.Close()); err != nil {
			t.Error(err)
		}
	}()
	fill(v.Input, b.Input(0, 0))
	if err := b.Run(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return append(data, b.Outputs(0)[0].Data...)
}

// fill writes the image of testdata/make.py as a row: byte i of its height × width × 3 is the top byte of the 32
// bits of 2654435761 i.
func fill(dtype repository.DType, row []byte) {
	for i := range Size * Size * 3 {
		v := byte(uint32(i) * 2654435761 >> 24)
		pixel, c := i/3, i%3
		normal := float32((float64(v)/255 - Mean[c]) / Std[c])
		switch at := c*Size*Size + pixel; dtype {
		case repository.Uint8:
			row[i] = v
		case repository.Float16:
			binary.NativeEndian.PutUint16(row[2*at:], float16.Bits(normal))
		default:
			binary.NativeEndian.PutUint32(row[4*at:], math.Float32bits(normal))
		}
	}
}

func floats(dtype repository.DType, data []byte) []float64 {
	list := make([]float64, len(data)/dtype.Size())
	for i := range list {
		if dtype == repository.Float16 {
			list[i] = float64(float16.Value(binary.NativeEndian.Uint16(data[2*i:])))
		} else {
			list[i] = float64(math.Float32frombits(binary.NativeEndian.Uint32(data[4*i:])))
		}
	}
	return list
}
