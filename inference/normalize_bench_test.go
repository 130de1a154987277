package inference

import (
	"image"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/repository"
	"fovea/internal/testenv"
	"fovea/preprocess"
)

// BenchmarkNormalize packs pixels and runs a model, with normalization in packing and in the graph in turns. It reports medians of the CPU time
// of both parts, in microseconds.
func BenchmarkNormalize(b *testing.B) {
	openRuntime(b)
	paths := map[string]string{"efficientnet-lite0": filepath.Join(testenv.Models(b), "efficientnet-lite0", "1", "model.onnx")}
	if dir, ok := testenv.SharedModels(b); ok {
		for _, name := range []string{"mobilenetv2-12-int8", "squeezenet-fp16", "yolox-nano"} {
			paths[name] = filepath.Join(dir, name+".onnx")
		}
	}
	for name, path := range paths {
		b.Run(name, func(b *testing.B) {
			sides := [2]*normalizedSide{newNormalizedSide(b, name, path, repository.NormalizePacking), newNormalizedSide(b, name, path, repository.NormalizeGraph)}
			for i := 0; b.Loop(); i++ {
				sides[i%2].measure(b)
				sides[1-i%2].measure(b)
			}
			for i, side := range []string{"packing", "graph"} {
				b.ReportMetric(sides[i].pack.median(), side+"-pack-µs")
				b.ReportMetric(sides[i].run.median(), side+"-run-µs")
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// normalizedSide is a model with one setting.
type normalizedSide struct {
	plan      *preprocess.Plan
	batch     *onnx.Batch
	pixels    []byte
	width     int
	pack, run times
}

func newNormalizedSide(b *testing.B, name, path, where string) *normalizedSide {
	b.Helper()
	file, err := onnx.ReadFile(path)
	noError(b, err)
	d, err := repository.LoadShipped(name)
	noError(b, err)
	d.Input.Normalize = where
	d, err = d.Resolve(file.Inputs, file.Outputs)
	noError(b, err)
	if where == repository.NormalizeGraph {
		noError(b, file.TakePixels(d.Input))
	}
	s, err := onnx.NewSession(path, onnx.Options{File: file, Outputs: d.Outputs()})
	noError(b, err)
	b.Cleanup(func() { noError(b, s.Close()) })
	size := image.Pt(d.Input.Width, d.Input.Height)
	batch, err := s.NewBatch(b.Context(), onnx.BatchSpec{Rows: 1, RowShapes: [][]int64{imageShape(d.Input, 4, size)}})
	noError(b, err)
	b.Cleanup(func() { noError(b, batch.Close()) })
	plan, err := preprocess.NewPlan(d.Input.Packed())
	noError(b, err)
	return &normalizedSide{plan: plan, batch: batch, pixels: trialImage(1, size.X, size.Y), width: size.X}
}

func (s *normalizedSide) measure(b *testing.B) {
	b.Helper()
	s.pack.add(b, 20, func() { s.plan.PackPixels(s.pixels, s.width, s.batch.Input(0, 0)) })
	s.run.add(b, 5, func() { noError(b, s.batch.Run(b.Context(), 1)) })
}

// times are CPU times of calls.
type times []time.Duration

func (t *times) add(b *testing.B, calls int, call func()) {
	b.Helper()
	before := testenv.CPUTime(b)
	for range calls {
		call()
	}
	*t = append(*t, (testenv.CPUTime(b)-before)/time.Duration(calls))
}

// median is in microseconds.
func (t *times) median() float64 {
	slices.Sort(*t)
	return float64((*t)[len(*t)/2]) / 1000
}
