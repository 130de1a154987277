package onnx

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"fovea/internal/repository"
	"fovea/internal/testenv"
)

// realModels are the further real models where they are there, and the default model.
func realModels(t *testing.T) []string {
	if dir, ok := testenv.SharedModels(t); ok {
		paths, err := filepath.Glob(filepath.Join(dir, "*.onnx"))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no models in %s: %v", dir, err)
		}
		return paths
	}
	return []string{filepath.Join(testenv.Models(t), "efficientnet-lite0", "1", "model.onnx")}
}

// noise fills a row with values that an image could have, always the same for the same seed.
func noise(b *Batch, row int, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range b.inputs {
		fillElements(b.inputs[i].info.DType, b.Input(i, row), random.Float32)
	}
}

func TestRealModelsGiveTheSameOutputsAtEveryBatchSize(t *testing.T) {
	open(t)
	for _, path := range realModels(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := load(t, path, Options{})
			alone := batchOf(t, s, BatchSpec{Buckets: []int{1}})
			b := batchOf(t, s, BatchSpec{Rows: 8, Buckets: []int{1, 4, 8}})
			for _, rows := range b.sizes() {
				for row := range rows {
					noise(b, row, uint64(row))
				}
				if err := b.Run(t.Context(), rows); err != nil {
					t.Fatal(err)
				}
				for row := range rows {
					noise(alone, 0, uint64(row))
					if err := alone.Run(t.Context(), 1); err != nil {
						t.Fatal(err)
					}
					sameOutputs(t, b, row, alone)
				}
			}
		})
	}
}

// sameOutputs compares a row with the only row of another batch: floats within 1e-3 of the larger magnitude,
// the rest exactly. Kernels choose other orders of summation for other batch sizes.
func sameOutputs(t *testing.T, b *Batch, row int, alone *Batch) {
	t.Helper()
	for i, want := range alone.Outputs(0) {
		got := b.Outputs(row)[i]
		if len(want.Data) == 0 || len(got.Data) != len(want.Data) {
			t.Fatalf("row %d: %s has %d bytes, alone %d", row, want.Name, len(got.Data), len(want.Data))
		}
		if want.DType != repository.Float32 {
			if !bytes.Equal(got.Data, want.Data) {
				t.Errorf("row %d: %s differs from the answer alone", row, want.Name)
			}
			continue
		}
		g, w := floats(got.Data), floats(want.Data)
		for j := range w {
			if d := math.Abs(float64(g[j] - w[j])); !(d <= 1e-3*max(1, math.Abs(float64(w[j])))) {
				t.Fatalf("row %d: %s[%d] is %v, alone %v", row, want.Name, j, g[j], w[j])
			}
		}
	}
}

func floats(data []byte) []float32 {
	list := make([]float32, len(data)/4)
	for i := range list {
		list[i] = math.Float32frombits(binary.NativeEndian.Uint32(data[4*i:]))
	}
	return list
}
