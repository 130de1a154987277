package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"fovea/gpu"
)

// gpuCase is one line of the report. Figures that were not measured are zero or nil.
type gpuCase struct {
	Group      string   `json:"group"` // the provider's options, in words
	Model      string   `json:"model"`
	Case       string   `json:"case"`
	Batch      int      `json:"batch,omitempty"`
	Layout     string   `json:"layout,omitempty"` // sessions × instances of each
	Cores      int      `json:"cores,omitempty"`
	PerSecond  float64  `json:"images_per_second"`
	Loop       float64  `json:"plain_loop_images_per_second,omitempty"` // measured alternately with the engine
	OfLoop     *float64 `json:"of_plain_loop,omitempty"`
	OfDecoding *float64 `json:"of_decoding,omitempty"`
	GPU        *float64 `json:"gpu_utilization,omitempty"` // share of the time that kernels ran (NVML)
	CPU        float64  `json:"cpu,omitempty"`             // of all cores, by this process
	Busy       float64  `json:"instances_busy,omitempty"`  // share of the time that instances ran batches
	Fill       float64  `json:"batches_full,omitempty"`    // share of computed rows that held an image
	MeanBatch  float64  `json:"mean_batch,omitempty"`
	RunMS      float64  `json:"run_ms,omitempty"`
	QueueMS    float64  `json:"queue_ms,omitempty"`
	CopyGB     float64  `json:"copied_gb_per_second,omitempty"` // of input, from the host to the GPU
	RowBytes   int      `json:"row_bytes,omitempty"`
	Difference *float64 `json:"difference,omitempty"` // of outputs, relative to the largest (see PyTorch's cases)
	Bound      string   `json:"bound,omitempty"`
	LeftOut    string   `json:"left_out,omitempty"` // why it was skipped, which is not a failure
	Error      string   `json:"error,omitempty"`
}

// saturated is the minimum utilization of a bottleneck.
const saturated = 0.9

// bound names the case's bottleneck.
func (c gpuCase) bound() string {
	percent := func(v float64) string { return fmt.Sprintf("%.0f %%", 100*v) }
	switch {
	case c.Error != "" || c.LeftOut != "" || strings.HasPrefix(c.Case, "PyTorch"):
		return ""
	case c.Case == "decoding alone":
		return "cores: busy " + percent(c.CPU)
	case c.GPU != nil && *c.GPU >= saturated:
		return "GPU: kernels run " + percent(*c.GPU) + " of the time"
	case c.OfDecoding != nil && *c.OfDecoding >= saturated:
		return "decoding: " + percent(*c.OfDecoding) + " of what the cores decode"
	case c.CPU >= saturated:
		return "cores: busy " + percent(c.CPU)
	case c.OfDecoding != nil && c.Busy == 0:
		return "HTTP and the load's own share of the cores: " + percent(*c.OfDecoding) + " of decoding alone"
	case c.Case == "plain loop" && c.Busy > 0 && c.Busy < saturated:
		return fmt.Sprintf("the loop's own copying of rows: runs take %s of the time", percent(c.Busy))
	case c.Busy > 0 && c.Busy < saturated:
		return fmt.Sprintf("rows come too slowly: instances run %s of the time, batches of %.1f", percent(c.Busy), c.MeanBatch)
	case c.GPU != nil:
		return fmt.Sprintf("copies and launches: a run is in progress %s of the time, kernels %s (%.1f GB/s of input)", percent(c.Busy), percent(*c.GPU), c.CopyGB)
	case c.Busy > 0:
		return "runs: one is in progress " + percent(c.Busy) + " of the time; GPU utilization is unknown"
	}
	return "unknown: no utilization was reported"
}

// line returns the case for a terminal.
func (c gpuCase) line() string {
	if c.Error != "" {
		return fmt.Sprintf("%-20s %-18s %-26s FAILED: %s", c.Model, c.Group, c.Case, c.Error)
	}
	if c.LeftOut != "" {
		return fmt.Sprintf("%-20s %-18s %-26s left out: %s", c.Model, c.Group, c.Case, c.LeftOut)
	}
	text := fmt.Sprintf("%-20s %-18s %-26s batch %-4d %-8s %9.0f/s", c.Model, c.Group, c.Case, c.Batch, c.Layout, c.PerSecond)
	for name, v := range map[string]*float64{"of the loop": c.OfLoop, "of decoding": c.OfDecoding} {
		if v != nil {
			text += fmt.Sprintf("  %.2f %s", *v, name)
		}
	}
	return text + "  " + c.Bound
}

// gpuReport is what gpu.json holds.
type gpuReport struct {
	Started time.Time  `json:"started"`
	Machine gpuMachine `json:"machine"`
	Measure string     `json:"measure"`
	Cases   []gpuCase  `json:"cases"`
}

// gpuMachine is where it was measured.
type gpuMachine struct {
	Cores  int    `json:"cores"`
	GPU    string `json:"gpu"`
	UUID   string `json:"uuid,omitempty"`
	Driver string `json:"driver,omitempty"`
	Device string `json:"device"`
	// Simulated reports that the simulated CUDA was used: the figures are meaningless.
	Simulated bool `json:"simulated,omitempty"`
}

func describeMachine(ctx context.Context, g gpuOptions) gpuMachine {
	m := gpuMachine{Cores: runtime.GOMAXPROCS(0), GPU: "none found by NVML", Device: g.Device, Simulated: simulatedCUDA()}
	nvml, err := gpu.Open(g.NVML)
	if err != nil {
		return m
	}
	defer nvml.Close()
	if device, driver, err := measuredGPU(ctx, nvml); err == nil {
		m.GPU, m.UUID, m.Driver = device.Name, device.UUID, driver.Version
	}
	return m
}

// write writes gpu.json and gpu.md into a folder.
func (r *gpuReport) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(dir, "gpu.json"), append(data, '\n'), 0o644), os.WriteFile(filepath.Join(dir, "gpu.md"), r.markdown(), 0o644))
}

func (r *gpuReport) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s, driver %s, %d cores, device %s, %s\n\n", r.Machine.GPU, orDash(r.Machine.Driver), r.Machine.Cores, r.Machine.Device, r.Started.Format("2006-01-02 15:04 UTC"))
	fmt.Fprintf(&b, "Each case was measured for %s. Layout: sessions × instances of each. GPU: share of the time that kernels ran.\n\n", r.Measure)
	if r.Machine.Simulated {
		b.WriteString("**Rehearsal with the simulated CUDA, which computes nothing. All rates, shares, bounds and differences below need a real GPU.**\n\n")
	}
	b.WriteString("| model | options | case | batch | layout | images/s | of the loop | of decoding | GPU | cores | run ms | bound by |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, c := range r.Cases {
		last, rate := c.Bound, fmt.Sprintf("%.0f", c.PerSecond)
		if c.Error != "" {
			last, rate = "failed: "+strings.NewReplacer("|", "/", "\n", " ").Replace(c.Error), "–"
		}
		if c.LeftOut != "" {
			last, rate = "left out: "+c.LeftOut, "–"
		}
		if c.Difference != nil {
			last = strings.TrimSpace(fmt.Sprintf("%s largest difference %.1e", last, *c.Difference))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", c.Model, c.Group, c.Case, orNone(c.Batch), orDash(c.Layout),
			rate, share(c.OfLoop), share(c.OfDecoding), share(c.GPU), figure(c.CPU), figure(c.RunMS), orDash(last))
	}
	return b.Bytes()
}

func share(v *float64) string {
	if v == nil {
		return "–"
	}
	return fmt.Sprintf("%.2f", *v)
}

func figure(v float64) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", v)
}

func orDash(text string) string {
	if text == "" {
		return "–"
	}
	return text
}

func orNone(n int) string {
	if n == 0 {
		return "–"
	}
	return fmt.Sprint(n)
}

// best returns the batch size where a model's plain loop was fastest, 0 if none ran.
func (r *gpuReport) best(model string) (batch int) {
	fastest := 0.0
	for _, c := range r.Cases {
		if c.Model == model && c.Group == "default" && c.Case == "plain loop" && c.PerSecond > fastest {
			batch, fastest = c.Batch, c.PerSecond
		}
	}
	return batch
}

// decodeLimit returns the rate of decoding alone for a model, in images per second; 0: unknown.
func (r *gpuReport) decodeLimit(model string) float64 {
	for _, c := range r.Cases {
		if c.Model == model && c.Case == "decoding alone" {
			return c.PerSecond
		}
	}
	return 0
}

// failures counts the cases that failed.
func (r *gpuReport) failures() error {
	n := 0
	for _, c := range r.Cases {
		if c.Error != "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d cases failed (see the report)", n, len(r.Cases))
}

// cleared creates the folder for the results and removes those of an earlier run.
func cleared(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"gpu.json", "gpu.md"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}
