package pairs

import (
	"context"
	"fmt"
	"io"
	"time"

	"fovea/tools/bench/proc"
)

// Load is how each variant is loaded in its turn.
type Load struct {
	Route       string // of every server
	Bodies      []Body // sent in turn
	Args        func(address string) []string
	Connections int
	Warmup      time.Duration
	Window      time.Duration // of the measurement
	Lone        time.Duration // of one request at a time, before; 0: none
	Rounds      int
	Budget      time.Duration // no round starts after it; 0: none
}

// Figures are the result of one turn.
type Figures struct {
	PerSecond    float64 // images
	P50MS, P99MS float64
	LoneMS       float64  // median latency of one request at a time
	CPUMS        float64  // of all the variant's processes, per image
	LoadMS       float64  // CPU time of the load generator, per image
	Counters     Counters // per image
}

// Round has the figures of every variant, in their order.
type Round []Figures

// Run measures all variants in turn, round by round. The order is reversed in every second round.
func Run(ctx context.Context, variants []Variant, load Load, out io.Writer) ([]Round, error) {
	var rounds []Round
	began := time.Now()
	for n := range load.Rounds {
		if load.Budget > 0 && n > 0 && time.Since(began) > load.Budget {
			fmt.Fprintf(out, "the time is over after %d rounds\n", n)
			break
		}
		round := make(Round, len(variants))
		for i := range variants {
			if n%2 == 1 {
				i = len(variants) - 1 - i
			}
			figures, err := turn(ctx, variants[i], load)
			if err != nil {
				return rounds, err
			}
			round[i] = figures
			fmt.Fprintf(out, "%2d %-14s %7.1f/s  p50 %7.2f ms  p99 %7.2f ms  alone %6.2f ms  CPU %6.2f ms  load %5.2f ms\n", n+1, variants[i].Name,
				figures.PerSecond, figures.P50MS, figures.P99MS, figures.LoneMS, figures.CPUMS, figures.LoadMS)
		}
		rounds = append(rounds, round)
	}
	return rounds, nil
}

// turn starts a variant, loads and stops it.
func turn(ctx context.Context, v Variant, load Load) (f Figures, err error) {
	list, err := start(ctx, v, load.Args)
	if err != nil {
		return f, err
	}
	defer stopAll(list)
	var urls []string
	for _, p := range list {
		urls = append(urls, p.base+load.Route)
	}
	if load.Lone > 0 {
		alone, err := closedLoop(ctx, urls[:1], 1, load.Lone, load.Bodies)
		if err != nil {
			return f, fmt.Errorf("%s: %w", v.Name, err)
		}
		f.LoneMS = alone.quantile(0.5)
	}
	if _, err := closedLoop(ctx, urls, load.Connections, load.Warmup, load.Bodies); err != nil {
		return f, fmt.Errorf("%s: %w", v.Name, err)
	}
	return f, f.measure(ctx, pidsOf(list), urls, load)
}

// measure loads the servers and sets everything but LoneMS.
func (f *Figures) measure(ctx context.Context, pids []int, urls []string, load Load) error {
	before, err := readCounters(pids)
	if err != nil {
		return err
	}
	own := proc.OwnCPU()
	a, err := closedLoop(ctx, urls, load.Connections, load.Window, load.Bodies)
	if err != nil {
		return err
	}
	after, err := readCounters(pids)
	if err != nil {
		return err
	}
	own = proc.OwnCPU() - own
	requests := float64(len(a.latencies))
	f.PerSecond, f.P50MS, f.P99MS = a.perSecond(), a.quantile(0.5), a.quantile(0.99)
	f.Counters = per(before, after, requests)
	f.CPUMS = 1000 * (f.Counters.User + f.Counters.System)
	f.LoadMS = 1000 * own.Seconds() / requests
	return nil
}
