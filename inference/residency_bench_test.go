package inference

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"fovea/internal/config"
	"fovea/internal/testenv"
)

// BenchmarkServingBesideLoads measures what loads cost other models: the 99th percentile of a model's latencies while others are loaded and
// unloaded without a pause for a memory budget, and while nothing is, in turns, so that other load on the machine affects both. Requests
// arrive at a fixed rate, about a quarter of what one client gets answered.
func BenchmarkServingBesideLoads(b *testing.B) {
	weights := filepath.Join(testenv.Models(b), "efficientnet-lite0", "1", "model.onnx")
	data, err := os.ReadFile(weights)
	if err != nil {
		b.Fatal(err)
	}
	r := newRepository(b)
	r.ship("efficientnet-lite0", weights, "")
	budget := r.synced(nil).Models()[0].Memory * 5 / 2 // the served model and one more
	r = newRepository(b)
	names := []string{"served", "a", "b", "c"}
	for _, name := range names {
		definition := "task: classification\ninput: {shortest_edge: 224, resize: shortest_edge, scale: 0.00784313725490196, mean: [1]}\noutput: {decode: softmax}\n"
		if name == "served" {
			definition += "memory: {keep: true}\n"
		}
		r.write(filepath.Join(name, "model.yaml"), []byte(definition))
		r.write(filepath.Join(name, "1", "model.onnx"), data)
	}
	e := r.engine(func(c *Config) { c.MemoryBudget = config.Size(budget) })
	if err := e.Sync(context.Background()); err != nil {
		b.Fatal(err)
	}
	image := samples(b)[0].data
	ask := func(model string) error {
		_, err := e.Predict(context.Background(), Request{Model: model, Image: image})
		return err
	}
	var interval time.Duration
	for range 20 { // of which the first are slow
		began := time.Now()
		if err := ask("served"); err != nil {
			b.Fatal(err)
		}
		interval = max(interval*3/4, 4*time.Since(began))
	}
	latencies := func() (list []time.Duration) {
		var mu sync.Mutex
		var wg sync.WaitGroup
		every := time.NewTicker(interval)
		defer every.Stop()
		for range 60 {
			<-every.C
			wg.Go(func() {
				began := time.Now()
				if err := ask("served"); err != nil {
					b.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				list = append(list, time.Since(began))
			})
		}
		wg.Wait()
		return list
	}
	var quiet, loading []time.Duration
	loads := 0
	for b.Loop() {
		quiet = append(quiet, latencies()...)
		stop := make(chan struct{})
		var loader sync.WaitGroup
		loader.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := ask(names[1+i%3]); err != nil {
					b.Error(err)
				}
				loads++
			}
		})
		loading = append(loading, latencies()...)
		close(stop)
		loader.Wait()
	}
	p := func(list []time.Duration, share float64) float64 {
		slices.Sort(list)
		return list[int(float64(len(list)-1)*share)].Seconds() * 1000
	}
	for _, share := range []float64{0.5, 0.99} {
		b.ReportMetric(p(quiet, share), fmt.Sprintf("p%.0f-quiet-ms", share*100))
		b.ReportMetric(p(loading, share), fmt.Sprintf("p%.0f-loading-ms", share*100))
		b.ReportMetric(p(loading, share)/p(quiet, share), fmt.Sprintf("p%.0f-ratio", share*100))
	}
	b.ReportMetric(float64(loads)/float64(b.N), "loads/op")
}
