package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"

	"fovea/tools/bench/pairs"
)

// summaryRate is in the summary of serve predict.
var summaryRate = regexp.MustCompile(`images in \S+ \(([0-9.]+)/s\)`)

// predictBench alternates between the baseline, which has its images in memory, and serve predict of a folder with o.Files images.
func predictBench(ctx context.Context, o options, out io.Writer) error {
	dir, err := folder(o)
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var rates, whole []float64
	fmt.Fprintf(out, "%-6s %-8s %12s %16s\n", "round", "side", "images/s", "CPU ms/image")
	for round := range o.Rounds {
		loop, err := loopProcess(ctx, "baseline", o)
		if err != nil {
			return err
		}
		predicted, elapsed, err := predictFolder(ctx, o, dir)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-6d %-8s %12.1f %16.3f\n%-6d %-8s %12.1f %16.3f\n", round+1, "loop", loop.PerSecond, loop.CPU.Seconds()*1000,
			round+1, "predict", predicted.PerSecond, predicted.CPU.Seconds()*1000)
		rates = append(rates, predicted.PerSecond/loop.PerSecond)
		whole = append(whole, float64(o.Files)/elapsed.Seconds()/loop.PerSecond)
	}
	fmt.Fprintf(out, "images per second, predict/loop: median %.3f of %.3f; with loading the model: median %.3f of %.3f\n",
		pairs.Median(rates), rates, pairs.Median(whole), whole)
	return nil
}

// folder makes a folder with copies of the images.
func folder(o options) (dir string, err error) {
	images, err := images(o.Images)
	if err != nil {
		return "", err
	}
	if dir, err = os.MkdirTemp("", "predict"); err != nil {
		return "", err
	}
	for i := range o.Files {
		path := filepath.Join(dir, fmt.Sprintf("%03d", i/1000), fmt.Sprintf("%06d.jpg", i))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, images[i%len(images)], 0o644)); err != nil {
			return "", errors.Join(err, os.RemoveAll(dir))
		}
	}
	return dir, nil
}

// predictFolder runs serve predict. The rate is that of its summary, which begins when the model is loaded.
func predictFolder(ctx context.Context, o options, dir string) (rate, time.Duration, error) {
	cmd := exec.CommandContext(ctx, o.Serve, "predict", o.Model, dir, "--jsonl", "--repository.dir="+o.Models,
		"--inference.saturating_int8="+strconv.FormatBool(o.Saturating))
	var notes bytes.Buffer
	cmd.Stderr = &notes
	start := time.Now()
	if err := o.start(cmd); err != nil {
		return rate{}, 0, err
	}
	if err := cmd.Wait(); err != nil {
		return rate{}, 0, fmt.Errorf("serve predict: %w\n%s", err, notes.String())
	}
	found := summaryRate.FindSubmatch(notes.Bytes())
	if found == nil {
		return rate{}, 0, fmt.Errorf("serve predict: no rate in %q", notes.String())
	}
	perSecond, err := strconv.ParseFloat(string(found[1]), 64)
	used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return rate{PerSecond: perSecond, CPU: used / time.Duration(o.Files)}, time.Since(start), err
}
