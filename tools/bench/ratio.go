package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"fovea/tools/bench/pairs"
)

// rate is one measurement of either side.
type rate struct {
	PerSecond float64       // images
	CPU       time.Duration // of the measured process, per image
	Mallocs   float64       // Go heap allocations per image
}

// ratio alternates between baseline and server and prints every figure and the medians of the ratios between neighboring
// measurements, which a machine of varying speed affects least.
func ratio(ctx context.Context, o options, out io.Writer) error {
	images, err := images(o.Images)
	if err != nil {
		return err
	}
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	send := targets(s.base+o.route(), images)
	if _, err := closed(o.Connections, 2*time.Second, send); err != nil { // warm-up
		return err
	}
	var cpu, throughput []float64
	var served rate
	fmt.Fprintf(out, "%-6s %-8s %12s %16s %14s\n", "round", "side", "images/s", "CPU ms/image", "allocations")
	for round := range o.Rounds {
		loop, err := loopProcess(ctx, "baseline", o)
		if err != nil {
			return err
		}
		if served, err = s.rate(func() (uint64, float64, error) {
			m, err := closed(o.Connections, o.Duration, send)
			return m.Requests, m.Throughput, err
		}); err != nil {
			return err
		}
		printRate(out, round, "loop", loop)
		printRate(out, round, "serve", served)
		cpu = append(cpu, float64(served.CPU)/float64(loop.CPU))
		throughput = append(throughput, served.PerSecond/loop.PerSecond)
	}
	fmt.Fprintf(out, "CPU time per image, serve/loop: median %.3f of %.3f\n", pairs.Median(cpu), cpu)
	fmt.Fprintf(out, "throughput at %d connections, serve/loop: median %.3f of %.3f\n", o.Connections, pairs.Median(throughput), throughput)
	return latency(o, served.PerSecond, send, out)
}

// latency compares the p99 at half of the highest rate, in an open loop at even intervals, with the median latency of
// sequential requests.
func latency(o options, top float64, send vegeta.Targeter, out io.Writer) error {
	var ratios []float64
	for range o.Rounds {
		single, err := closed(1, o.Duration/2, send)
		if err != nil {
			return err
		}
		half, err := open(top/2, o.Duration, send)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "single p50 %v p99 %v; at %.0f/s p50 %v p99 %v\n", single.Latencies.P50, single.Latencies.P99,
			top/2, half.Latencies.P50, half.Latencies.P99)
		ratios = append(ratios, float64(half.Latencies.P99)/float64(single.Latencies.P50))
	}
	fmt.Fprintf(out, "p99 at half load / single request: median %.2f of %.2f\n", pairs.Median(ratios), ratios)
	return nil
}

// rate measures the server's process while load runs; load returns the requests sent and the successful ones per second.
func (s *server) rate(load func() (uint64, float64, error)) (rate, error) {
	mallocs, err := s.metric("go_memstats_mallocs_total")
	if err != nil {
		return rate{}, err
	}
	before, err := s.usage()
	if err != nil {
		return rate{}, err
	}
	requests, perSecond, err := load()
	if err != nil {
		return rate{}, err
	}
	after, err := s.usage()
	if err != nil {
		return rate{}, err
	}
	mallocsAfter, err := s.metric("go_memstats_mallocs_total")
	n := float64(requests)
	return rate{PerSecond: perSecond, CPU: time.Duration(float64(after.CPU-before.CPU) / n), Mallocs: (mallocsAfter - mallocs) / n}, err
}

// loopProcess runs a verb that is a loop, such as the baseline, in a separate process, so that neither side's memory or garbage
// collector affects the other.
func loopProcess(ctx context.Context, verb string, o options) (rate, error) {
	self, err := os.Executable()
	if err != nil {
		return rate{}, err
	}
	cmd := exec.CommandContext(ctx, self, verb, "-models", o.Models, "-model", o.Model, "-images", o.Images,
		"-duration", o.Duration.String(), "-connections", strconv.Itoa(o.Connections),
		"-saturating-int8="+strconv.FormatBool(o.Saturating))
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, os.Stderr
	if err := o.start(cmd); err != nil {
		return rate{}, fmt.Errorf("%s: %w", verb, err)
	}
	if err := cmd.Wait(); err != nil {
		return rate{}, fmt.Errorf("%s: %w", verb, err)
	}
	var r rate
	return r, json.Unmarshal(text.Bytes(), &r)
}

func printRate(out io.Writer, round int, side string, r rate) {
	fmt.Fprintf(out, "%-6d %-8s %12.1f %16.3f %14.1f\n", round+1, side, r.PerSecond, r.CPU.Seconds()*1000, r.Mallocs)
}
