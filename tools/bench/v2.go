package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"time"

	"fovea/tools/bench/pairs"
	"fovea/tools/bench/proc"
)

// The ways to ask for a prediction that `bench v2` compares, in the order of their turns.
const (
	inLoop    = "tensor, loop without server"
	bareHTTP  = "tensor, bare net/http"
	bareGRPC  = "tensor, bare grpc-go"
	rawHTTP   = "raw FP32, V2 binary HTTP"
	rawGRPC   = "raw FP32, V2 gRPC"
	jsonHTTP  = "JSON FP32, V2 HTTP"
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
	to, stop, err := startV2Servers(ctx, o)
	if err != nil {
		return err
	}
	defer stop()
	clients, err := v2Connect(ctx, o, to, images)
	if err != nil {
		return err
	}
	defer clients.close()
	ways, err := v2Ways(ctx, o, to, clients)
	if err != nil {
		return err
	}
	for _, w := range ways {
		if _, err := w.measure(min(time.Second, o.Duration)); err != nil { // connections and caches
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	rounds, turns := map[string][]rate{}, slices.Clone(ways)
	for range o.Rounds {
		slices.Reverse(turns) // so that neither of two neighbors always follows the other
		for _, w := range turns {
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

// startV2Servers starts what is measured.
func startV2Servers(ctx context.Context, o options) (to v2Servers, stop func(), err error) {
	var started []*server
	stop = func() {
		for _, s := range started {
			s.stop()
		}
	}
	serve := func(binary string) (*server, string) {
		if err != nil || binary == "" {
			return nil, ""
		}
		var addr *net.TCPAddr
		if addr, err = proc.FreeAddress(); err != nil {
			return nil, ""
		}
		o.Serve, o.ServeFlags = binary, []string{"--grpc.address=" + addr.String()}
		var s *server
		if s, err = startServer(ctx, o); err != nil {
			return nil, ""
		}
		started = append(started, s)
		return s, addr.String()
	}
	to.serve, to.serveGRPC = serve(o.Serve)
	to.against, to.againstGRPC = serve(o.Against)
	if err == nil {
		if to.bare, to.bareGRPC, err = startBare(o); err == nil {
			started = append(started, to.bare)
		}
	}
	if err == nil {
		if to.loop, err = startChild(o, "v2-loop"); err == nil {
			started = append(started, &to.loop.server)
		}
	}
	if err != nil {
		stop()
	}
	return to, stop, err
}

// v2Summary prints the medians of the CPU times, their ratios to the loop's of the same round, and whether the targets are met.
func v2Summary(out io.Writer, ways []v2Way, rounds map[string][]rate) {
	fmt.Fprintf(out, "%-32s %22s %9s %12s %22s\n", "CPU ms per request", "median (min to max)", "requests", "allocations", "of the loop's")
	for _, w := range ways {
		list, ofLoop := rounds[w.name], "–"
		if loop := rounds[inLoop]; loop != nil {
			ofLoop = pairs.Spread(quotients(cpuTimes(list), cpuTimes(loop)))
		}
		fmt.Fprintf(out, "%-32s %22s %7.0f/s %12.0f %22s\n", w.name, pairs.Spread(cpuTimes(list)), pairs.Median(column(list, func(r rate) float64 { return r.PerSecond })),
			pairs.Median(column(list, func(r rate) float64 { return r.Mallocs })), ofLoop)
	}
	for _, w := range ways {
		if before := rounds[againstPrefix+w.name]; before != nil {
			fmt.Fprintf(out, "%s, of the other build's: %s\n", w.name, pairs.Spread(quotients(cpuTimes(rounds[w.name]), cpuTimes(before))))
		}
	}
	for _, t := range v2Targets {
		if rounds[t.way] == nil || rounds[t.to] == nil {
			continue
		}
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
