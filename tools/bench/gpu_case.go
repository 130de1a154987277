package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"fovea/inference/onnx"
	"fovea/internal/repository"
	"fovea/tools/bench/resnet"
)

// groupBench measures a group in a child process.
type groupBench struct {
	o      options
	group  gpuGroup
	folder string // of the model
	device onnx.Device
	gpu    *utilization
	rows   [][]byte // of the image input, ready
	out    *json.Encoder
}

// gpuGroupBench is `bench gpu-group`: it measures one group and prints each case as a line of JSON.
func gpuGroupBench(ctx context.Context, o options, out io.Writer) (err error) {
	b := &groupBench{o: o, out: json.NewEncoder(out)}
	if err := json.Unmarshal([]byte(o.GPU.Group), &b.group); err != nil {
		return fmt.Errorf("-group: %w", err)
	}
	b.folder = filepath.Join(o.GPU.Work, b.group.Model)
	if !strings.HasPrefix(b.group.Model, "resnet50") {
		b.folder = filepath.Join(o.Models, b.group.Model)
	}
	if err := onnx.Open(""); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, onnx.Close()) }()
	if b.device, _, err = onnx.Pick(o.GPU.Device); err != nil {
		return err
	}
	if b.group.TensorRT {
		device, _, err := onnx.Pick("tensorrt")
		if err != nil {
			return b.out.Encode(gpuCase{Group: b.group.Title, Model: b.group.Model, Case: "plain loop", LeftOut: err.Error()})
		}
		b.device = device
	}
	b.gpu = openUtilization(o.GPU.NVML)
	defer b.gpu.close()
	best, err := b.loops(ctx)
	if err != nil {
		return err
	}
	for _, l := range b.group.Layouts {
		b.report(b.engineAgainstLoop(ctx, best, l))
	}
	if b.group.Images {
		b.images(ctx, best)
	}
	return nil
}

// report prints a case; an error becomes part of it.
func (b *groupBench) report(c gpuCase, err error) {
	c.Group, c.Model, c.Cores = b.group.Title, b.group.Model, runtime.GOMAXPROCS(0)
	if err != nil {
		c.Error = err.Error()
	}
	_ = b.out.Encode(c) // fails only if the parent is gone
}

// loops measures the plain loop at every batch size with one session and returns the fastest size. At that size it also
// measures two sessions with one instance each, which Fovea does not support, to see whether it should.
func (b *groupBench) loops(ctx context.Context) (best int, err error) {
	s, err := b.session()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	fastest := 0.0
	for _, size := range b.group.Batches {
		if b.group.TensorRT {
			if err := b.buildEngine(ctx, s, size); err != nil {
				b.notBuilt(size, err)
				continue
			}
		}
		c, err := b.loop(ctx, []*onnx.Session{s}, layout{1, 1}, size)
		b.report(c, err)
		if c.PerSecond > fastest {
			best, fastest = size, c.PerSecond
		}
	}
	if best == 0 && !b.group.TensorRT {
		return 0, errors.New("no batch size ran")
	}
	if len(b.group.Layouts) == 0 {
		return best, nil
	}
	second, err := b.session()
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, second.Close()) }()
	b.report(b.loop(ctx, []*onnx.Session{s, second}, layout{2, 1}, best))
	return best, nil
}

// buildEngine builds the TensorRT engine of a batch size, within the group's time.
func (b *groupBench) buildEngine(ctx context.Context, s *onnx.Session, size int) error {
	return s.BuildEngine(ctx, onnx.EngineSpec{Rows: size, Options: onnx.TensorRTOptions{Cache: filepath.Join(b.o.GPU.Work, "engines")}})
}

// notBuilt prints the case of an engine that could not be built. The simulated TensorRT builds none.
func (b *groupBench) notBuilt(size int, err error) {
	c := gpuCase{Case: "plain loop", Batch: size}
	if simulatedCUDA() {
		c.LeftOut, err = err.Error(), nil
	}
	b.report(c, err)
}

func (b *groupBench) session() (*onnx.Session, error) {
	cuda := onnx.CUDAOptions{ConvSearch: b.group.CUDA.ConvSearch, NoTF32: b.group.CUDA.NoTF32,
		PreferNHWC: b.group.CUDA.PreferNHWC, Pageable: b.group.Pageable}
	_, file, err := b.definition()
	if err != nil {
		return nil, err
	}
	return onnx.NewSession(filepath.Join(b.folder, "1", "model.onnx"),
		onnx.Options{Device: b.device, Threads: runtime.GOMAXPROCS(0), CUDA: cuda, File: file})
}

// loop is the plain loop: each instance repeatedly copies rows into its batch and runs it.
func (b *groupBench) loop(ctx context.Context, sessions []*onnx.Session, l layout, size int) (c gpuCase, err error) {
	c = gpuCase{Case: "plain loop", Batch: size, Layout: l.String()}
	var batches []*onnx.Batch
	defer func() {
		for _, batch := range batches {
			err = errors.Join(err, batch.Close())
		}
	}()
	for i := range l.Sessions * l.Instances {
		batch, err := sessions[i%l.Sessions].NewBatch(context.Background(), onnx.BatchSpec{Buckets: []int{size}})
		if err != nil {
			return c, err
		}
		batches = append(batches, batch)
	}
	b.makeRows(sessions[0].Inputs()[0].DType, len(batches[0].Input(0, 0)))
	c.RowBytes = len(b.rows[0])
	var running atomic.Int64
	s, err := b.span(ctx, &running, func(ctx context.Context, done *atomic.Int64) error {
		return eachBatch(batches, func(batch *onnx.Batch) error {
			return repeat(ctx, func(i int) error {
				for row := range size {
					copy(batch.Input(0, row), b.rows[(i+row)%len(b.rows)])
				}
				if err := timedRun(batch, size, &running); err != nil {
					return err
				}
				done.Add(int64(size))
				return nil
			})
		})
	})
	if err == nil && size == 8 && b.group.Title == "default" && strings.HasPrefix(b.group.Model, "resnet50") && !strings.HasSuffix(b.group.Model, graphSuffix) {
		err = b.keepOutputs(batches[0])
	}
	c.take(s, len(batches), size)
	return c, err
}

func (b *groupBench) makeRows(dtype repository.DType, size int) {
	if b.rows == nil {
		b.rows = noiseRows(dtype.Size(), size/dtype.Size(), 1)
	}
}

// eachBatch calls do for every batch at once and returns all errors.
func eachBatch(batches []*onnx.Batch, do func(*onnx.Batch) error) error {
	failures := make([]error, len(batches))
	var wg sync.WaitGroup
	for i, batch := range batches {
		wg.Go(func() { failures[i] = do(batch) })
	}
	wg.Wait()
	return errors.Join(failures...)
}

// repeat calls do until ctx ends or it fails.
func repeat(ctx context.Context, do func(i int) error) error {
	for i := 0; ctx.Err() == nil; i++ {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// keepOutputs runs the first eight rows and saves the outputs for the comparison with PyTorch.
func (b *groupBench) keepOutputs(batch *onnx.Batch) error {
	for row := range 8 {
		copy(batch.Input(0, row), b.rows[row])
	}
	if err := batch.Run(context.Background(), 8); err != nil {
		return err
	}
	var all []byte
	for row := range 8 {
		all = append(all, batch.Outputs(row)[0].Data...)
	}
	if want := 8 * resnet.Classes * batch.Outputs(0)[0].DType.Size(); len(all) != want {
		return fmt.Errorf("the outputs have %d bytes, not %d", len(all), want)
	}
	return os.WriteFile(filepath.Join(b.o.GPU.Work, "outputs-"+b.group.Model), all, 0o644)
}
