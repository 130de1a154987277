package inference

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"fovea/inference/onnx"
	"fovea/internal/apierror"
	"fovea/internal/testenv"
	"fovea/postprocess"
	"fovea/preprocess/header"
)

// benchModels are measured where they are there; the default model always is.
var benchModels = []string{"mobilenetv2-12-int8", "yolox-nano-batch"}

// benchEngine has all models of the benchmarks loaded.
func benchEngine(b *testing.B) (e *Engine, names []string, images [][]byte) {
	b.Helper()
	r := newRepository(b)
	names = r.real("", benchModels...)
	e = r.engine(nil)
	if err := e.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
	for _, s := range samples(b) {
		images = append(images, s.data)
	}
	return e, names, images
}

// BenchmarkPredict answers images from eight goroutines a core through the engine.
func BenchmarkPredict(b *testing.B) {
	e, names, images := benchEngine(b)
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			before := testenv.CPUTime(b)
			b.SetParallelism(8)
			var n atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					image := images[int(n.Add(1))%len(images)]
					if _, err := e.Predict(context.Background(), Request{Model: name, Image: image}); err != nil {
						b.Error(err)
						return
					}
				}
			})
			b.ReportMetric((testenv.CPUTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkInProcessLoop does the same work without the engine: each of GOMAXPROCS goroutines decodes, packs and
// runs over the same session, with its own batch.
func BenchmarkInProcessLoop(b *testing.B) {
	e, names, images := benchEngine(b)
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			loop := newLoop(b, e.models[name].served[0], images)
			defer loop.close()
			before := testenv.CPUTime(b)
			b.ResetTimer()
			loop.run(b, b.N)
			b.StopTimer()
			b.ReportMetric((testenv.CPUTime(b)-before).Seconds()*1000/float64(b.N), "cpu-ms/op")
		})
	}
}

// BenchmarkEngineAgainstLoop alternates between both in one run, so that other load on the machine affects both, and
// reports the ratios: CPU time of the engine over the loop's, and its throughput over the loop's.
func BenchmarkEngineAgainstLoop(b *testing.B) {
	e, names, images := benchEngine(b)
	for _, name := range names {
		b.Run(name, func(b *testing.B) {
			loop := newLoop(b, e.models[name].served[0], images)
			defer loop.close()
			const slice = 50
			var engineCPU, loopCPU, engineWall, loopWall time.Duration
			for b.Loop() {
				cpu, wall := timed(b, func() { loop.run(b, slice) })
				loopCPU, loopWall = loopCPU+cpu, loopWall+wall
				cpu, wall = timed(b, func() { askAll(b, e, name, images, slice) })
				engineCPU, engineWall = engineCPU+cpu, engineWall+wall
			}
			b.ReportMetric(float64(engineCPU)/float64(loopCPU), "cpu-ratio")
			b.ReportMetric(float64(loopWall)/float64(engineWall), "throughput-ratio")
			b.ReportMetric(float64(slice)*float64(b.N)/engineWall.Seconds(), "images/s")
		})
	}
}

// askAll sends n images through the engine from sixteen goroutines.
func askAll(b *testing.B, e *Engine, name string, images [][]byte, n int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if _, err := e.Predict(context.Background(), Request{Model: name, Image: images[i%len(images)]}); err != nil {
					b.Error(apierror.From(err))
					return
				}
			}
		})
	}
	wg.Wait()
}

// loop is what the engine is measured against.
type loop struct {
	v       *version
	images  [][]byte
	batches []*onnx.Batch
}

func newLoop(b *testing.B, v *version, images [][]byte) *loop {
	b.Helper()
	l := &loop{v: v, images: images}
	shapes := v.inputShapes(v.trialSize(0))
	for range runtime.GOMAXPROCS(0) {
		batch, err := v.sessions[0].NewBatch(context.Background(), onnx.BatchSpec{Rows: 1, RowShapes: shapes})
		if err != nil {
			b.Fatal(err)
		}
		l.batches = append(l.batches, batch)
	}
	return l
}

func (l *loop) close() {
	for _, batch := range l.batches {
		_ = batch.Close()
	}
}

func (l *loop) run(b *testing.B, n int) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for _, batch := range l.batches {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= n; i = int(next.Add(1)) {
				if err := l.one(batch, l.images[i%len(l.images)]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func (l *loop) one(batch *onnx.Batch, image []byte) error {
	info, err := header.Read(image, header.Limits{})
	if err != nil {
		return err
	}
	img, err := l.v.plan.Decode(context.Background(), image, info)
	if err != nil {
		return err
	}
	defer img.Close()
	transform, err := l.v.plan.Pack(img, batch.Input(l.v.image, 0))
	if err != nil {
		return err
	}
	if err := batch.Run(context.Background(), 1); err != nil {
		return err
	}
	_, err = l.v.decoder.Decode(batch.Outputs(0), transform, postprocess.Params{})
	return err
}

// timed is the CPU time of the process and the wall time that f takes.
func timed(b *testing.B, f func()) (cpu, wall time.Duration) {
	b.Helper()
	before, start := testenv.CPUTime(b), time.Now()
	f()
	return testenv.CPUTime(b) - before, time.Since(start)
}
