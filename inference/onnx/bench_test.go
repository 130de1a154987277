package onnx

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	ort "github.com/yalue/onnxruntime_go"

	"fovea/internal/testenv"
)

// benchModel is the model of the benchmarks: $FOVEA_BENCH_MODEL, or the default model.
func benchModel(b *testing.B) string {
	if path := os.Getenv("FOVEA_BENCH_MODEL"); path != "" {
		return path
	}
	return filepath.Join(testenv.Models(b), "efficientnet-lite0", "1", "model.onnx")
}

func filled(b *testing.B, s *Session) *Batch {
	batch := batchOf(b, s, BatchSpec{Rows: 1})
	noise(batch, 0, 1)
	return batch
}

// BenchmarkCall is the cost around the computation, with a model that computes nearly nothing.
func BenchmarkCall(b *testing.B) {
	open(b)
	s := load(b, "testdata/conv.onnx", Options{})
	batch := filled(b, s)
	b.Run("run", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := batch.Run(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("binding", func(b *testing.B) {
		binding := bind(b, s, batch)
		b.ReportAllocs()
		for b.Loop() {
			if err := batch.session.RunWithBinding(binding); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func bind(b *testing.B, s *Session, batch *Batch) *ort.IoBinding {
	binding, err := batch.session.CreateIoBinding()
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = binding.Destroy() })
	for i, info := range s.inputs {
		if err := binding.BindInput(info.Name, batch.buckets[0].inputs[i].tensor); err != nil {
			b.Fatal(err)
		}
	}
	for i, info := range s.outputs {
		if err := binding.BindOutput(info.Name, batch.buckets[0].outputs[i].tensor); err != nil {
			b.Fatal(err)
		}
	}
	return binding
}

// BenchmarkTwoInstances computes on two goroutines, over one session or one each, and on one goroutine. The CPU time of a row
// should be the same for all.
func BenchmarkTwoInstances(b *testing.B) {
	open(b)
	path := benchModel(b)
	for _, test := range []struct {
		name                string
		sessions, instances int
	}{{"one instance", 1, 1}, {"one session", 1, 2}, {"two sessions", 2, 2}} {
		b.Run(test.name, func(b *testing.B) {
			sessions := []*Session{load(b, path, Options{})}
			for range test.sessions - 1 {
				sessions = append(sessions, load(b, path, Options{}))
			}
			var batches []*Batch
			for i := range test.instances {
				batches = append(batches, filled(b, sessions[i%len(sessions)]))
			}
			before := testenv.CPUTime(b)
			b.ResetTimer()
			var group sync.WaitGroup
			for i, batch := range batches {
				group.Go(func() {
					for range (b.N + i) / len(batches) {
						if err := batch.Run(b.Context(), 1); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
			b.ReportMetric((testenv.CPUTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/row")
		})
	}
}
