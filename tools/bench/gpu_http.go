package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"fovea/loadtest"
)

// alignedRow returns a row whose elements of up to eight bytes are aligned.
func alignedRow(size int) []byte {
	words := make([]uint64, (size+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), size)
}

// overHTTP measures bin/serve with images over HTTP, using bin/loadtest on the same cores. The report so far provides the
// best batch size, the decoding limit and the GPU.
func overHTTP(ctx context.Context, o options, model string, report *gpuReport, end time.Time) gpuCase {
	l := layout{1, 2}
	c := gpuCase{Group: "default", Model: model, Case: "serve, images over HTTP", Batch: report.best(model), Layout: l.String()}
	if err := c.http(ctx, o, l, report, end); err != nil {
		c.Error = err.Error()
	}
	return c
}

func (c *gpuCase) http(ctx context.Context, o options, l layout, report *gpuReport, end time.Time) error {
	if c.Batch == 0 {
		return fmt.Errorf("no batch size of %s ran", c.Model)
	}
	ctx, cancel := context.WithDeadline(ctx, earlier(time.Now().Add(gpuGroupTime), end.Add(gpuGroupTime/4)))
	defer cancel()
	folder := filepath.Join(o.GPU.Work, c.Model)
	if !strings.HasPrefix(c.Model, "resnet50") {
		folder = filepath.Join(o.Models, c.Model)
	}
	device := o.GPU.Device
	dir, err := repositoryFor(folder, device, c.Batch, l)
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover folder of links does no harm
	if err != nil {
		return err
	}
	o.Models, o.Model = dir, c.Model
	o.ServeFlags = []string{"--inference.device=" + device}
	if o.GPU.NVML != "" {
		o.ServeFlags = append(o.ServeFlags, "--gpu.library="+o.GPU.NVML)
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	n := clients(c.Batch, l) / 2
	result := filepath.Join(dir, "result.json")
	args := []string{"--quiet", "--server", s.base, "--model", c.Model, "--images", o.Images, "--concurrency", strconv.Itoa(n),
		"--warmup", "2s", "--window", o.GPU.Measure.String(), "--max-windows", "6", "--json", result}
	if o.GPU.NVML != "" {
		args = append(args, "--nvml", o.GPU.NVML)
	}
	if _, err := outputOf(ctx, o.GPU.Loadtest, args...); err != nil {
		return fmt.Errorf("%s: %w", o.GPU.Loadtest, err)
	}
	return c.read(result, report.decodeLimit(c.Model), report.Machine.UUID)
}

// read copies the figures from a load test's result; uuid is the measured GPU.
func (c *gpuCase) read(file string, limit float64, uuid string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	result, err := loadtest.Read(f)
	if err != nil {
		return err
	}
	level := result.Levels[0]
	if level.Failed > 0 {
		failures, _ := json.Marshal(level.Failures) // a map of numbers can be written
		return fmt.Errorf("%d images failed: %s", level.Failed, failures)
	}
	c.PerSecond = level.Throughput
	if limit > 0 {
		share := level.Throughput / limit
		c.OfDecoding = &share
	}
	if level.Server != nil {
		c.MeanBatch = level.Server.BatchMean
		for _, stage := range level.Server.Stages {
			switch stage.Name {
			case "infer":
				c.RunMS = stage.MeanMS
			case "queue":
				c.QueueMS = stage.MeanMS
			}
		}
	}
	for _, g := range level.GPUs {
		if g.UUID == uuid {
			c.GPU = g.Utilization
		}
	}
	return nil
}
