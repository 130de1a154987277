package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"fovea/inference"
	"fovea/internal/float16"
	"fovea/internal/repository"
	"fovea/tools/bench/resnet"
)

// gpuOptions are the flags of `bench gpu`, which measures a GPU with ResNet-50 and the default classifier, from
// preprocessed rows and from images, compared with a plain loop over the same session, with decoding alone, and with
// PyTorch.
type gpuOptions struct {
	Device   string        // cuda, or cpu to try the program without a GPU
	Out      string        // folder for the results; large files go to its folder work, which is removed
	Measure  time.Duration // of one case, after a warm-up of a third
	Budget   time.Duration // after which no further case starts
	Loadtest string        // the load test's binary
	Python   string        // with torch and torchvision
	Torch    string        // the script that measures PyTorch
	TorchOn  string        // its device; empty: Device
	NVML     string        // its library; empty: the system's
	Group    string        // of a child process: its group as JSON
	Work     string        // of a child process: the parent's work folder
}

func (g *gpuOptions) add(f *flag.FlagSet) {
	f.StringVar(&g.Device, "device", "cuda", "device to measure")
	f.StringVar(&g.Out, "out", "bin/gpu-bench", "folder for the results")
	f.DurationVar(&g.Measure, "measure", 2*time.Second, "length of one case")
	f.DurationVar(&g.Budget, "budget", 8*time.Minute, "time after which no further case starts")
	f.StringVar(&g.Loadtest, "loadtest", "bin/loadtest", "the load test's binary")
	f.StringVar(&g.Python, "python", "python3", "Python with torch and torchvision")
	f.StringVar(&g.Torch, "torch", "tools/bench/torch_reference.py", "script that measures PyTorch")
	f.StringVar(&g.TorchOn, "torch-device", "", "device of PyTorch; empty: the measured device")
	f.StringVar(&g.NVML, "nvml", "", "NVML's library")
	f.StringVar(&g.Group, "group", "", "one group of cases as JSON (used internally)")
	f.StringVar(&g.Work, "work", "", "folder of the models (used internally)")
}

// gpuGroup is the set of cases that one child process measures: one model with one set of provider options. Each group has
// its own process, because a CUDA error persists in its process.
type gpuGroup struct {
	Title    string
	Model    string
	CUDA     cudaOptions
	Pageable bool
	TensorRT bool     // the plain loop over engines of TensorRT; left out where it is not installed
	Batches  []int    // of the plain loop with one instance
	Layouts  []layout // at the best of Batches: the engine against the plain loop
	Images   bool     // at the best of Batches: the engine from images, against decoding alone
}

// cudaOptions are the provider options that groups differ in, as JSON can carry them.
type cudaOptions struct {
	ConvSearch         string
	NoTF32, PreferNHWC bool
}

func (o cudaOptions) config() inference.CUDAConfig {
	return inference.CUDAConfig{ConvSearch: o.ConvSearch, NoTF32: o.NoTF32, PreferNHWC: o.PreferNHWC}
}

// layout is the number of sessions on the GPU and of instances per session.
type layout struct{ Sessions, Instances int }

func (l layout) String() string { return fmt.Sprintf("%d×%d", l.Sessions, l.Instances) }

// gpuPlan lists the groups to measure, the most important first.
func gpuPlan(classifier string) []gpuGroup {
	buckets := []int{1, 8, 32, 64, 128}
	layouts := []layout{{1, 1}, {1, 2}}
	const fp32, fp16, bytes = "resnet50-fp32", "resnet50-fp16", "resnet50-fp16-uint8"
	heuristic := cudaOptions{ConvSearch: "HEURISTIC"}
	variant := func(title, model string, change func(*gpuGroup)) gpuGroup {
		g := gpuGroup{Title: title, Model: model, CUDA: heuristic, Batches: []int{8, 64}}
		change(&g)
		return g
	}
	plan := []gpuGroup{
		{Title: "default", Model: fp16, CUDA: heuristic, Batches: buckets, Layouts: layouts, Images: true},
		{Title: "default", Model: classifier, CUDA: heuristic, Batches: buckets, Layouts: layouts, Images: true},
		{Title: "default", Model: fp32, CUDA: heuristic, Batches: buckets, Layouts: layouts},
		{Title: "default", Model: bytes, CUDA: heuristic, Batches: []int{32, 64, 128}, Layouts: layouts[1:], Images: true},
		{Title: "default", Model: fp16 + graphSuffix, CUDA: heuristic, Batches: []int{32, 64, 128}, Layouts: layouts[1:], Images: true},
		{Title: "default", Model: fp32 + graphSuffix, CUDA: heuristic, Batches: []int{64}, Layouts: layouts[1:]},
	}
	for _, model := range []string{fp16, fp32} {
		plan = append(plan,
			variant("NHWC", model, func(g *gpuGroup) { g.CUDA.PreferNHWC = true }),
			variant("EXHAUSTIVE", model, func(g *gpuGroup) { g.CUDA.ConvSearch = "EXHAUSTIVE" }))
	}
	plan = append(plan, variant("TensorRT", fp16, func(g *gpuGroup) { g.TensorRT, g.Batches = true, []int{8, 64} }))
	return append(plan,
		variant("EXHAUSTIVE, NHWC", fp16, func(g *gpuGroup) { g.CUDA.ConvSearch, g.CUDA.PreferNHWC = "EXHAUSTIVE", true }),
		variant("pageable batches", fp16, func(g *gpuGroup) { g.Pageable = true }),
		variant("no TF32", fp32, func(g *gpuGroup) { g.CUDA.NoTF32 = true }))
}

// gpuBench measures every group of the plan, then the server over HTTP and PyTorch. Failures are recorded in the report
// and returned at the end.
func gpuBench(ctx context.Context, o options, out io.Writer) (err error) {
	g := o.GPU
	end := time.Now().Add(g.Budget)
	g.Work = filepath.Join(g.Out, "work")
	if err := cleared(g.Out); err != nil {
		return err
	}
	if err := prepareModels(g.Work); err != nil {
		return fmt.Errorf("make the models: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(g.Work)) }()
	report := &gpuReport{Started: time.Now().UTC(), Machine: describeMachine(ctx, g), Measure: g.Measure.String()}
	add := func(cases ...gpuCase) {
		for _, c := range cases {
			c.Bound = c.bound()
			report.Cases = append(report.Cases, c)
			fmt.Fprintln(out, c.line())
		}
		err = errors.Join(err, report.write(g.Out)) // after each case, in case the run is interrupted
	}
	o.GPU = g
	for _, group := range gpuPlan(o.Model) {
		if time.Now().After(end) {
			add(gpuCase{Group: group.Title, Model: group.Model, Error: "not started: the time budget is spent"})
			continue
		}
		add(runGroup(ctx, o, group, end)...)
	}
	for _, model := range []string{"resnet50-fp16", o.Model} {
		add(overHTTP(ctx, o, model, report, end))
	}
	add(torchFigures(ctx, g, end)...)
	fmt.Fprintf(out, "results: %s and %s\n", filepath.Join(g.Out, "gpu.json"), filepath.Join(g.Out, "gpu.md"))
	return errors.Join(err, report.failures())
}

// gpuGroupTime bounds one group; EXHAUSTIVE searches and CUDA's start may take two thirds of it.
const gpuGroupTime = 100 * time.Second

// runGroup measures a group in a child process, which prints one case per line.
func runGroup(ctx context.Context, o options, group gpuGroup, end time.Time) (cases []gpuCase) {
	ctx, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(gpuGroupTime), end.Add(gpuGroupTime/4)))
	defer cancel()
	failed := func(err error) []gpuCase {
		return append(cases, gpuCase{Group: group.Title, Model: group.Model, Error: err.Error()})
	}
	spec, err := json.Marshal(group)
	if err != nil {
		return failed(err)
	}
	self, err := os.Executable()
	if err != nil {
		return failed(err)
	}
	text, err := outputOf(ctx, self, "gpu-group", "-group", string(spec), "-work", o.GPU.Work, "-device", o.GPU.Device,
		"-measure", o.GPU.Measure.String(), "-models", o.Models, "-images", o.Images, "-nvml", o.GPU.NVML)
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var c gpuCase
		if json.Unmarshal(lines.Bytes(), &c) == nil {
			cases = append(cases, c)
		}
	}
	if err != nil {
		return failed(err)
	}
	return cases
}

// outputOf runs a program and returns its stdout. The error ends with the last lines of its stderr.
func outputOf(ctx context.Context, program string, args ...string) ([]byte, error) {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr, cmd.WaitDelay = &stderr, 5*time.Second
	stdout, err := cmd.Output()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		err = fmt.Errorf("%w: %s", err, strings.Join(lines[max(0, len(lines)-3):], " | "))
	}
	return stdout, err
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// gpuRows is the number of different rows that the cases cycle through, so that no run repeats the previous one's data.
const gpuRows = 16

// prepareModels writes the three variants of ResNet-50, copies of two whose graph normalizes, its weights for PyTorch, and the input rows of both.
func prepareModels(work string) error {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	for _, v := range resnet.Variants {
		if err := v.Write(work, resnetDefinition(v)); err != nil {
			return err
		}
	}
	for _, v := range resnet.Variants {
		if v.Input == repository.Uint8 {
			continue
		}
		if err := writeGraphCopy(work, v); err != nil {
			return err
		}
	}
	var rows []byte
	for _, row := range noiseRows(4, 3*resnet.Size*resnet.Size, 1) {
		rows = append(rows, row...)
	}
	return errors.Join(resnet.WriteWeights(filepath.Join(work, "weights.f32")), os.WriteFile(filepath.Join(work, "rows.f32"), rows, 0o644))
}

// noiseRows returns rows of random elements of 4, 2 or 1 bytes: float32, float16 or uint8. Floats are uniform from -2 to 2,
// similar to normalized images; zeros would run faster.
func noiseRows(width, elements int, seed uint64) [][]byte {
	random := rand.New(rand.NewPCG(seed, seed)) //nolint:gosec // noise, not secrets
	rows := make([][]byte, gpuRows)
	for i := range rows {
		row := make([]byte, 0, width*elements)
		for range elements {
			v := 4*random.Float32() - 2
			switch width {
			case 4:
				row = appendFloat(row, v)
			case 2:
				bits := float16.Bits(v)
				row = append(row, byte(bits), byte(bits>>8))
			default:
				row = append(row, byte(random.Uint32()))
			}
		}
		rows[i] = row
	}
	return rows
}

// torchTime bounds PyTorch's cases; its start takes about ten seconds.
const torchTime = 90 * time.Second

// torchFigures measures PyTorch with the same ResNet-50 weights and compares the outputs.
func torchFigures(ctx context.Context, g gpuOptions, end time.Time) []gpuCase {
	failed := func(err error) []gpuCase {
		return []gpuCase{{Group: "reference", Model: "resnet50", Case: "PyTorch", Error: err.Error()}}
	}
	ctx, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(torchTime), end.Add(torchTime/2)))
	defer cancel()
	text, err := outputOf(ctx, g.Python, "-B", g.Torch, g.Work, cmp.Or(g.TorchOn, g.Device), fmt.Sprint(g.Measure.Seconds()))
	if err != nil {
		return failed(fmt.Errorf("%s %s: %w", g.Python, g.Torch, err))
	}
	var cases []gpuCase
	if err := json.Unmarshal(text, &cases); err != nil {
		return failed(fmt.Errorf("%s: %w", g.Torch, err))
	}
	for i := range cases {
		cases[i].Group = "reference"
	}
	return cases
}
