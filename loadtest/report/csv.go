package report

import (
	"encoding/csv"
	"io"
	"strconv"

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
	cells := make([]string, len(names)+3)
	if s == nil {
		return cells
	}
	for i, name := range names {
		for _, stage := range s.Stages {
			if stage.Name+"_ms" == name {
				cells[i] = plain(stage.MeanMS)
			}
		}
	}
	if s.BatchMean > 0 {
		cells[len(names)] = plain(s.BatchMean)
	}
	cells[len(names)+1], cells[len(names)+2] = known(s.CPUMSPerImage), known(s.ResidentBytes)
	return cells
}

// gpuCells aggregates all GPUs: mean utilization, total memory and total power.
func gpuCells(list []loadtest.GPULevel) []string {
	var utilization, memory, watts []float64
	for _, g := range list {
		utilization, memory, watts = add(utilization, g.Utilization), add(memory, g.MemoryBytes), add(watts, g.Watts)
	}
	cells := []string{"", "", ""}
	if len(utilization) > 0 {
		cells[0] = plain(sum(utilization) / float64(len(utilization)))
	}
	if len(memory) > 0 {
		cells[1] = plain(sum(memory))
	}
	if len(watts) > 0 {
		cells[2] = plain(sum(watts))
	}
	return cells
}

func add(list []float64, v *float64) []float64 {
	if v == nil {
		return list
	}
	return append(list, *v)
}

func sum(list []float64) float64 {
	total := 0.0
	for _, v := range list {
		total += v
	}
	return total
}

func plain(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func known(v *float64) string {
	if v == nil {
		return ""
	}
	return plain(*v)
}
