package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"fovea/tools/bench/pairs"
	"fovea/tools/bench/proc"
)

// The ways to ask for a prediction that `bench v2` compares, in the order of their turns.
const (
	inLoop    = "tensor, loop without server"
	rawHTTP   = "raw FP32, V2 binary HTTP"
	rawGRPC   = "raw FP32, V2 gRPC"
	imageV1   = "JPEG, POST /v1/models/M/predict"
	imageHTTP = "JPEG, V2 binary HTTP"
	imageGRPC = "JPEG, V2 gRPC"
)

// v2Targets are the ratios of CPU times that must hold.
var v2Targets = []struct {
	way, to string
	limit   float64
}{{rawHTTP, inLoop, 1.15}, {rawGRPC, inLoop, 1.15}, {imageGRPC, imageV1, 1.03}}

// v2Way is a way to ask for predictions, for a time.
type v2Way struct {
	name    string
	measure func(d time.Duration) (rate, error)
}

// v2Bench compares the CPU times per request, at batch 1, of the ways to ask for a prediction, and the loop that runs the same
// tensors without a server. The ways take turns, so that a machine of varying speed affects all; the clients are in this process,
// whose CPU time does not count.
func v2Bench(ctx context.Context, o options, out io.Writer) error {
	images, err := images(o.Images)
	if err != nil {
		return err
	}
	images = slices.DeleteFunc(images, func(image []byte) bool { return len(image) < 2 || image[0] != 0xFF || image[1] != 0xD8 })
	if len(images) == 0 {
		return fmt.Errorf("no JPEG in %s", o.Images)
	}
	if o.Pinned {
		if err := o.pinned(); err != nil {
			return err
		}
	}
	addr, err := proc.FreeAddress()
	if err != nil {
		return err
	}
	o.ServeFlags = append(slices.Clone(o.ServeFlags), "--grpc.address="+addr.String())
	s, err := startServer(ctx, o)
	if err != nil {
		return err
	}
	defer s.stop()
	ways, closeClients, err := v2Ways(ctx, o, s, addr.String(), images)
	if err != nil {
		return err
	}
	defer closeClients()
	for _, w := range ways {
		if w.name != inLoop {
			if _, err := w.measure(min(time.Second, o.Duration)); err != nil { // connections and caches
				return fmt.Errorf("%s: %w", w.name, err)
			}
		}
	}
	rounds := map[string][]rate{}
	for range o.Rounds {
		for _, w := range ways {
			r, err := w.measure(o.Duration)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			rounds[w.name] = append(rounds[w.name], r)
		}
	}
	v2Summary(out, ways, rounds)
	return nil
}

// v2Summary prints the medians of the CPU times, their ratios to the loop's of the same round, and whether the targets are met.
func v2Summary(out io.Writer, ways []v2Way, rounds map[string][]rate) {
	fmt.Fprintf(out, "%-32s %22s %9s %12s %22s\n", "CPU ms per request", "median (min to max)", "requests", "allocations", "of the loop's")
	for _, w := range ways {
		fmt.Fprintf(out, "%-32s %22s %7.0f/s %12.0f %22s\n", w.name, pairs.Spread(cpuTimes(rounds[w.name])), pairs.Median(column(rounds[w.name], func(r rate) float64 { return r.PerSecond })),
			pairs.Median(column(rounds[w.name], func(r rate) float64 { return r.Mallocs })), pairs.Spread(quotients(cpuTimes(rounds[w.name]), cpuTimes(rounds[inLoop]))))
	}
	for _, t := range v2Targets {
		judge(out, t.way+" / "+t.to, quotients(cpuTimes(rounds[t.way]), cpuTimes(rounds[t.to])), t.limit)
	}
}

// cpuTimes are the CPU times per request in milliseconds.
func cpuTimes(rates []rate) []float64 {
	return column(rates, func(r rate) float64 { return r.CPU.Seconds() * 1000 })
}

func column(rates []rate, of func(rate) float64) []float64 {
	list := make([]float64, len(rates))
	for i, r := range rates {
		list[i] = of(r)
	}
	return list
}
