package loadtest

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// page is what a server of two models counts, written by Prometheus' own library.
func page(t testing.TB, observe func(stage *prometheus.HistogramVec, batch *prometheus.HistogramVec)) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	stage := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fovea_stage_duration_seconds", Buckets: []float64{0.01, 0.02, 0.04}}, []string{"model", "version", "stage"})
	batch := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "fovea_batch_size", Buckets: []float64{1, 2, 4}}, []string{"model", "version"})
	cpu := prometheus.NewCounter(prometheus.CounterOpts{Name: "process_cpu_seconds_total"})
	cpu.Add(12.5)
	registry.MustRegister(stage, batch, cpu)
	observe(stage, batch)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&b, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

func read(t *testing.T, text, model string) counters {
	t.Helper()
	c, err := readCounters([]byte(text), model)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestServerMetricsOfOneModel(t *testing.T) {
	before := read(t, page(t, func(stage, batch *prometheus.HistogramVec) {
		stage.WithLabelValues("a", "1", "infer").Observe(9)
		batch.WithLabelValues("a", "1").Observe(1)
	}), "a")
	after := read(t, page(t, func(stage, batch *prometheus.HistogramVec) {
		stage.WithLabelValues("a", "1", "infer").Observe(9)
		batch.WithLabelValues("a", "1").Observe(1)
		for range 30 {
			stage.WithLabelValues("a", "1", "infer").Observe(0.015)
		}
		for range 10 { // of another version, so it counts
			stage.WithLabelValues("a", "2", "infer").Observe(0.035)
		}
		stage.WithLabelValues("b", "1", "infer").Observe(7)
		stage.WithLabelValues("b", "1", "decode").Observe(7)
		for _, n := range []float64{1, 2, 3, 4, 9} {
			batch.WithLabelValues("a", "1").Observe(n)
		}
	}), "a")
	s := serverOf(before, after, 50)
	if len(s.Stages) != 1 || s.Stages[0].Name != "infer" {
		t.Fatalf("stages %+v", s.Stages)
	}
	// 30 values in 10–20 ms and 10 in 20–40 ms: the 20th of 40 lies at 2/3 of the first bucket, 39.6 at 0.96 of the second.
	got := s.Stages[0]
	for _, pair := range [][2]float64{{got.MeanMS, 20}, {got.P50MS, 10 + 10*20./30}, {got.P99MS, 20 + 20*9.6/10}} {
		if math.Abs(pair[0]-pair[1]) > 0.001 {
			t.Errorf("got %g, want %g", pair[0], pair[1])
		}
	}
	if want := []Batch{{1, 1}, {2, 1}, {4, 2}, {0, 1}}; !slices.Equal(s.Batches, want) || s.BatchMean != 3.8 {
		t.Errorf("batches %v, mean %g", s.Batches, s.BatchMean)
	}
	if s.CPUMSPerImage == nil || *s.CPUMSPerImage != 0 {
		t.Errorf("CPU time per image %v", s.CPUMSPerImage)
	}
	if s.ResidentBytes != nil {
		t.Error("memory that is not in the metrics")
	}
}

func TestSingleNumbersOfEveryMetricType(t *testing.T) {
	for kind, value := range map[string]string{"counter": "7", "gauge": "7", "untyped": "7", "": "7", "histogram": "", "summary": ""} {
		text := "process_cpu_seconds_total " + value + "\n"
		if kind != "" {
			text = "# TYPE process_cpu_seconds_total " + kind + "\n" + text
		}
		if value == "" {
			text = "# TYPE process_cpu_seconds_total " + kind + "\nprocess_cpu_seconds_total_sum 7\nprocess_cpu_seconds_total_count 1\n"
		}
		if got := read(t, text, "").cpu; (got != nil) != (value != "") || got != nil && *got != 7 {
			t.Errorf("%q: %v", kind, got)
		}
	}
}

func TestRestartedServerCountsFromZero(t *testing.T) {
	old := cumulative{count: 100, sum: 100, bounds: map[float64]float64{1: 100}}
	fresh := cumulative{count: 4, sum: 2, bounds: map[float64]float64{1: 4}}
	if got := fresh.minus(old); got.count != 4 || got.sum != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestUnknownMetricsAreIgnored(t *testing.T) {
	c := read(t, "http_requests_total 5\n", "")
	if got := serverOf(c, c, 10); got != nil {
		t.Errorf("got %+v", got)
	}
}

func TestAFigureWithoutATypeIsReadToo(t *testing.T) {
	c := read(t, "process_cpu_seconds_total 7\nprocess_resident_memory_bytes NaN\n", "")
	if c.cpu == nil || *c.cpu != 7 || c.resident != nil {
		t.Errorf("got %+v", c)
	}
}

func TestQuantileBeyondTheLastBoundIsThatBound(t *testing.T) {
	c := cumulative{count: 10, bounds: map[float64]float64{1: 2, 4: 5}}
	if got := c.quantile(0.99); got != 4 {
		t.Errorf("got %g", got)
	}
	if got := (cumulative{}).quantile(0.5); got != 0 {
		t.Errorf("of nothing: %g", got)
	}
}

// FuzzMetrics: another server's metrics may hold anything.
func FuzzMetrics(f *testing.F) {
	f.Add(page(f, func(stage, batch *prometheus.HistogramVec) {
		stage.WithLabelValues("a", "1", "infer").Observe(0.01)
		batch.WithLabelValues("a", "1").Observe(3)
	}))
	for _, seed := range []string{
		"", "x", "fovea_batch_size 3\n", "process_cpu_seconds_total NaN\n", "# TYPE process_cpu_seconds_total histogram\n",
		"# TYPE fovea_batch_size histogram\nfovea_batch_size_bucket{le=\"-Inf\"} 5\nfovea_batch_size_count 18446744073709551615\n",
		"# TYPE fovea_stage_duration_seconds histogram\nfovea_stage_duration_seconds_bucket{stage=\"infer\",le=\"NaN\"} 5\nfovea_stage_duration_seconds_count{stage=\"infer\"} 5\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := readCounters([]byte(text), "a")
		if err != nil {
			return
		}
		r := Result{Format: Format, Levels: []Level{{Concurrency: 1, Server: serverOf(counters{}, c, 1)}}}
		if err := r.Write(&strings.Builder{}); err != nil {
			t.Errorf("what was read cannot be written: %v", err)
		}
	})
}
