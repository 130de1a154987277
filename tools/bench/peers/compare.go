package peers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"fovea/loadtest"
)

const (
	// field is the name of the multipart field with the image.
	field = "image"
	// equalLoad is the rate for comparing latencies, as a share of the slowest server's throughput in the first
	// round, so that every server can sustain it.
	equalLoad = 0.6
	// turnLimit bounds one turn of one server.
	turnLimit = 5 * time.Minute
)

var concurrencies = []int{1, 8, 32}

// compare measures one cell after the other and writes the result after each.
func compare(ctx context.Context, o Options, out io.Writer) error {
	if err := pin(o.Cores); err != nil {
		return err
	}
	chosen, err := selectCells(o.Only)
	if err != nil {
		return err
	}
	competing, err := selectServers(o.Compete)
	if err != nil {
		return err
	}
	if err := errors.Join(o.absolute(), o.check(chosen), adopt()); err != nil {
		return err
	}
	installed, err := versions(ctx, o.Python)
	if err != nil {
		return err
	}
	r := &Result{Format: format, Started: time.Now().UTC().Truncate(time.Second), Command: os.Args[1:], Machine: describe(), Versions: installed}
	for _, c := range chosen {
		samples, err := measure(ctx, o, c, competing, out)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name(), err)
		}
		r.Samples = append(r.Samples, samples...)
		if err := r.write(o.JSON); err != nil {
			return err
		}
	}
	return nil
}

// measure lets the servers take turns in a cell.
func measure(ctx context.Context, o Options, c cell, chosen []server, out io.Writer) ([]Sample, error) {
	var samples []Sample
	var rate float64
	began, competing := time.Now(), c.competing(chosen)
	if len(competing) == 0 {
		fmt.Fprintf(out, "%s: none of the servers takes such bodies\n", c.name())
		return nil, nil
	}
	for round := range o.Rounds {
		if o.Budget > 0 && round > 0 && time.Since(began) > o.Budget {
			fmt.Fprintf(out, "%s: the time is over after %d rounds\n", c.name(), round)
			break
		}
		if o.Compete == "" {
			baseline, err := baselineTurn(ctx, o, c)
			if err != nil {
				return nil, err
			}
			baseline.Round = round
			show(out, baseline)
			samples = append(samples, baseline)
		}
		for i := range competing {
			s := competing[place(round, i, len(competing))]
			sample, err := turn(ctx, o, s, c, rate)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", s.title, err)
			}
			sample.Round = round
			show(out, sample)
			samples = append(samples, sample)
		}
		if round == 0 && o.Equal {
			rate = commonRate(samples)
		}
	}
	return samples, nil
}

// place is which of n servers takes turn i of a round: each round starts with another one, and every second is in reverse
// order, so that each server follows each other one about as often as it precedes it.
func place(round, i, n int) int {
	if round%2 == 1 {
		i = n - 1 - i
	}
	return (i + round/2) % n
}

// commonRate returns a share of the highest throughput of the slowest server.
func commonRate(samples []Sample) float64 {
	slowest := math.Inf(1)
	for _, s := range samples {
		best := 0.0
		for _, l := range s.Levels {
			best = max(best, l.Throughput)
		}
		if s.Server != baselineKey {
			slowest = min(slowest, best)
		}
	}
	return max(0.1, math.Round(equalLoad*slowest*10)/10)
}

// turn starts a server, loads it at every concurrency and, unless it is 0, at the rate, and stops it.
func turn(ctx context.Context, o Options, s server, c cell, rate float64) (sample Sample, err error) {
	ctx, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	p, err := start(ctx, o, s, c)
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	g, err := startGauge(ctx)
	if err != nil {
		return sample, err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	sample = Sample{Cell: c.name(), Server: s.key, StartupMS: milliseconds(p.startup)}
	config := loadConfig(o, s, c, p.url, g.url)
	for _, n := range concurrencies {
		config.Concurrency = []int{n}
		config.Window = max(o.Window, oneEach(n, sample.Levels))
		config.Warmup = config.Window
		if err := sample.load(ctx, config); err != nil {
			return sample, fmt.Errorf("%w; the server's log:\n%s", err, p.tail())
		}
	}
	if rate > 0 {
		config.Concurrency, config.Rates, config.Arrivals = nil, []float64{rate}, loadtest.Poisson
		config.Warmup, config.Window, config.WindowCount = o.Window, 5*o.Window, 100 // the p99 of random arrivals needs many
		if err := sample.load(ctx, config); err != nil {
			return sample, err
		}
	}
	g.sampleMemory()
	sample.PeakMiB = float64(g.peak.Load()) / (1 << 20)
	return sample, nil
}

// oneEach estimates, from the previous level, how long it takes to answer each of n requests in flight once; 0 without a
// previous level. A shorter window, or one that starts before the first requests are answered, would show only a part of
// the throughput of a server whose requests wait for seconds.
func oneEach(n int, before []Level) time.Duration {
	if len(before) == 0 {
		return 0
	}
	return time.Duration(float64(n) / max(before[len(before)-1].Throughput, 0.1) * float64(time.Second))
}

// loadConfig returns the same load for every server. Every response is checked.
func loadConfig(o Options, s server, c cell, url, metrics string) loadtest.Config {
	config := loadtest.Default()
	config.URL, config.Metrics, config.GPU = url, metrics, false
	config.Images = filepath.Join(o.Images, c.size)
	config.Body.Kind, config.Body.Field = c.form, field
	config.Expect = loadtest.Expectation{Classes: c.want, At: s.prefix + c.at}
	config.Warmup, config.Window, config.WindowCount = o.Window, o.Window, 20
	config.MaxWindows, config.Timeout = 3, 30*time.Second // three windows make a level
	return config
}

func (s *Sample) load(ctx context.Context, config loadtest.Config) error {
	plan, err := loadtest.Prepare(ctx, config)
	if err != nil {
		return err
	}
	result, err := plan.Run(ctx, func(loadtest.Progress) {})
	if err != nil {
		return err
	}
	for _, l := range result.Levels {
		level := Level{Concurrency: l.Concurrency, Rate: l.Rate, Throughput: l.Throughput, P50MS: l.Latency.P50MS, P99MS: l.Latency.P99MS,
			Requests: l.Requests, Failed: l.Failed, Failures: l.Failures}
		if l.Server == nil || l.Server.CPUMSPerImage == nil {
			return fmt.Errorf("%s: the CPU time of the server is unknown: %v", l.Name(), result.Notes)
		}
		level.CPUMS = *l.Server.CPUMSPerImage
		s.Levels = append(s.Levels, level)
	}
	return nil
}

// baselineTurn runs the baseline in a separate process (`bench baseline`).
func baselineTurn(ctx context.Context, o Options, c cell) (Sample, error) {
	ctx, cancel := context.WithTimeout(ctx, turnLimit)
	defer cancel()
	self, err := os.Executable()
	if err != nil {
		return Sample{}, err
	}
	cmd := exec.CommandContext(ctx, self, "baseline", "-models", o.Models, "-model", c.model,
		"-images", filepath.Join(o.Images, c.size), "-duration", (3 * o.Window).String(), "-saturating-int8="+strconv.FormatBool(!c.exact))
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return Sample{}, fmt.Errorf("baseline: %w", err)
	}
	var rate struct {
		PerSecond float64
		CPU       time.Duration
	}
	if err := json.Unmarshal(text, &rate); err != nil {
		return Sample{}, fmt.Errorf("baseline: %w", err)
	}
	level := Level{Throughput: rate.PerSecond, CPUMS: milliseconds(rate.CPU)}
	return Sample{Cell: c.name(), Server: baselineKey, Levels: []Level{level}}, nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// show prints the turn's figures.
func show(out io.Writer, s Sample) {
	for _, l := range s.Levels {
		at := fmt.Sprintf("concurrency %d", l.Concurrency)
		switch {
		case s.Server == baselineKey:
			at = "no HTTP"
		case l.Rate > 0:
			at = fmt.Sprintf("%g/s", l.Rate)
		}
		fmt.Fprintf(out, "%d %-26s %-9s %-14s %8.1f/s  p50 %8.2f ms  p99 %8.2f ms  CPU %7.2f ms  failed %d %v\n",
			s.Round+1, s.Cell, s.Server, at, l.Throughput, l.P50MS, l.P99MS, l.CPUMS, l.Failed, l.Failures)
	}
	if s.Server != baselineKey {
		fmt.Fprintf(out, "%d %-26s %-9s first response %.2f s, peak %.0f MiB\n", s.Round+1, s.Cell, s.Server, s.StartupMS/1000, s.PeakMiB)
	}
}
