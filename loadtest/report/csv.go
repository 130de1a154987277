package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"fovea/loadtest"
)

// CSV writes one line per level, with all figures that are single numbers. Times are in milliseconds.
func CSV(w io.Writer, r *loadtest.Result) error {
	out := csv.NewWriter(w)
	head := []string{
		"label", "url", "model", "concurrency", "rate", "purpose", "stable", "windows", "throughput", "images", "requests", "failed",
		"mean_ms", "min_ms", "p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms", "max_ms", "lag_p99_ms",
		"queue_ms", "decode_ms", "preprocess_ms", "infer_ms", "postprocess_ms", "batch_mean", "cpu_ms_per_image", "resident_bytes",
		"gpu_utilization", "gpu_memory_bytes", "gpu_watts", "all_images", "all_failed", "images_per_joule",
	}
	if err := out.Write(head); err != nil {
		return err
	}
	for _, l := range r.Levels {
		row := []string{r.Label, r.Target.URL, r.Target.Model, strconv.Itoa(l.Concurrency), plain(l.Rate), l.Purpose, strconv.FormatBool(l.Stable), strconv.Itoa(len(l.Windows))}
		row = append(row, plain(l.Throughput), strconv.Itoa(l.Images), strconv.Itoa(l.Requests), strconv.Itoa(l.Failed))
		q := l.Latency
		for _, v := range []float64{q.MeanMS, q.MinMS, q.P50MS, q.P90MS, q.P95MS, q.P99MS, q.P999MS, q.MaxMS, l.LagP99MS} {
			row = append(row, plain(v))
		}
		row = append(row, serverCells(l.Server, head[21:26])...)
		row = append(row, gpuCells(l.GPUs)...)
		row = append(row, strconv.Itoa(l.AllImages), strconv.Itoa(l.AllFailed()), known(l.ImagesPerJoule))
		if err := out.Write(row); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

func serverCells(s *loadtest.Server, names []string) []string {
	if s == nil {
		return make([]string, len(names)+3)
	}
	var cells []string
	for _, name := range names {
		cells = append(cells, known(stageMean(s, strings.TrimSuffix(name, "_ms"))))
	}
	batch := ""
	if s.BatchMean > 0 {
		batch = plain(s.BatchMean)
	}
	return append(cells, batch, known(s.CPUMSPerImage), known(s.ResidentBytes))
}

// stageMean returns the mean duration of a stage in milliseconds; nil if the server did not report it.
func stageMean(s *loadtest.Server, name string) *float64 {
	for _, stage := range s.Stages {
		if stage.Name == name {
			return &stage.MeanMS
		}
	}
	return nil
}

// gpuCells aggregates all GPUs: mean utilization, total memory and total power.
func gpuCells(list []loadtest.GPULevel) []string {
	var sums, counts [3]float64
	for _, g := range list {
		for i, v := range []*float64{g.Utilization, g.MemoryBytes, g.Watts} {
			if v != nil {
				sums[i] += *v
				counts[i]++
			}
		}
	}
	sums[0] /= max(counts[0], 1)
	cells := make([]string, len(sums))
	for i, n := range counts {
		if n > 0 {
			cells[i] = plain(sums[i])
		}
	}
	return cells
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func known(v *float64) string {
	if v == nil {
		return ""
	}
	return plain(*v)
}
