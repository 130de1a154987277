package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"fovea/inference"
	"fovea/internal/verify"
)

// speed is how many times as many images a variant answers as the original: per CPU second with one thread, or on a GPU per second.
type speed struct {
	Model float64 `json:"model"` // from the prepared input to the prediction
	Image float64 `json:"image"` // with decoding and preprocessing
	Per   string  `json:"per"`   // "CPU second", "second"
	// Rate and OriginalRate are images per second of Model.
	Rate         float64 `json:"rate"`
	OriginalRate float64 `json:"original_rate"`
}

const (
	turns      = 15                     // of each; the median of their ratios counts
	turn       = 100 * time.Millisecond // a turn takes this at least
	sampleSize = 8                      // images
)

// clock is the time that a measurement counts.
type clock func() time.Duration

// cpuTime is the time that this process has computed.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func wallTime() time.Duration { return time.Duration(time.Now().UnixNano()) }

// measure compares the speed of a variant with the original's, one image at a time, in turns.
func (o *optimization) measure(ctx context.Context, engine *inference.Engine, v *variant) (*speed, error) {
	original, err := engine.Variant(o.source.model, o.source.version(), asItIs)
	if err != nil {
		return nil, err
	}
	defer original.Close()
	smaller, err := engine.Variant(o.source.model, v.folder(), asItIs)
	if err != nil {
		return nil, err
	}
	defer smaller.Close()
	s, now := &speed{Per: "CPU second"}, clock(cpuTime)
	if engine.Device() != "cpu" {
		s.Per, now = "second", wallTime
	}
	images, rows, err := o.samples(ctx, original)
	if err != nil {
		return nil, err
	}
	whole := func(v *inference.Variant) func() error {
		return func() error {
			return each(images, func(data []byte) error { _, err := v.Predict(ctx, data); return err })
		}
	}
	run := func(v *inference.Variant) func() error {
		return func() error {
			return each(rows, func(data []byte) error { _, err := v.PredictRow(ctx, data); return err })
		}
	}
	if s.Image, _, _, err = interleaved(ctx, now, whole(original), whole(smaller)); err != nil {
		return nil, err
	}
	if len(rows) == 0 { // inputs of the size of each image
		run = whole
	}
	var first, second time.Duration
	if s.Model, first, second, err = interleaved(ctx, now, run(original), run(smaller)); err != nil {
		return nil, err
	}
	s.OriginalRate, s.Rate = float64(len(images))/first.Seconds(), float64(len(images))/second.Seconds()
	return s, nil
}

func each(list [][]byte, do func([]byte) error) error {
	for _, data := range list {
		if err := do(data); err != nil {
			return err
		}
	}
	return nil
}

// samples are images that the model can predict, and their rows if the input has one size.
func (o *optimization) samples(ctx context.Context, v *inference.Variant) (images, rows [][]byte, err error) {
	for _, name := range verify.Spread(o.held, 2*sampleSize) {
		data, err := os.ReadFile(filepath.Join(o.images, name))
		if err != nil {
			return nil, nil, err
		}
		if _, err := v.Predict(ctx, data); err != nil {
			if ctx.Err() != nil {
				return nil, nil, ctx.Err()
			}
			continue
		}
		images = append(images, data)
		if !v.Definition().Input.Dynamic() {
			row, err := v.Row(ctx, data)
			if err != nil {
				return nil, nil, err
			}
			rows = append(rows, row)
		}
		if len(images) == sampleSize {
			break
		}
	}
	if len(images) == 0 {
		return nil, nil, fmt.Errorf("no image of %s can be predicted", o.images)
	}
	return images, rows, nil
}

// interleaved returns how many times as long first takes as second: the median over pairs of turns, each long enough for the clock,
// in which the order alternates. It also returns the median time of one call of each.
func interleaved(ctx context.Context, now clock, first, second func() error) (ratio float64, a, b time.Duration, err error) {
	calls := 1
	timed := func(do func() error) (time.Duration, error) {
		start := now()
		for range calls {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			if err := do(); err != nil {
				return 0, err
			}
		}
		return now() - start, nil
	}
	for { // also a warm-up
		took, err := timed(second)
		if err != nil {
			return 0, 0, 0, err
		}
		if took >= turn || calls >= 1<<16 {
			break
		}
		calls *= 2
	}
	if _, err := timed(first); err != nil {
		return 0, 0, 0, err
	}
	var ratios []float64
	var firsts, seconds []time.Duration
	for i := range turns {
		order := []func() error{first, second}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		var took [2]time.Duration
		for j, do := range order {
			if took[j], err = timed(do); err != nil {
				return 0, 0, 0, err
			}
		}
		if i%2 == 1 {
			took[0], took[1] = took[1], took[0]
		}
		firsts, seconds = append(firsts, took[0]/time.Duration(calls)), append(seconds, took[1]/time.Duration(calls))
		ratios = append(ratios, float64(took[0])/float64(max(took[1], 1)))
	}
	return median(ratios), median(firsts), median(seconds), nil
}

func median[T float64 | time.Duration](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}
