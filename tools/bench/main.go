// Command bench compares the server with a baseline (the same images and sessions in a plain loop without HTTP) and with
// other servers. It also runs soak tests, attacks the server with slow clients, measures the cost of hostile images, and
// measures GPUs. Run it by `make bench`, `make bench-peers`, `make soak`, `make bench-corpus` and `make gpu-bench`.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fovea/tools/bench/peers"

	"golang.org/x/sys/unix"
)

// options are the flags of every verb.
type options struct {
	Serve       string        // the server's binary
	ServeLog    string        // where its log goes; empty: shown only if it fails
	Models      string        // the models folder
	Model       string        // the model to use
	Images      string        // a folder of images
	Connections int           // requests in flight
	Duration    time.Duration // of one measurement
	Rounds      int           // alternating measurements of each side
	Requests    int64         // of a soak test
	Files       int           // images that serve predict gets
	Limit       float64       // growth that a soak test allows, in bytes of resident memory per request
	ServeFlags  []string      // additional flags of the server
	Saturating  bool          // inference.saturating_int8 of server and baseline
	GPU         gpuOptions
	Slow        slowOptions
	Access      accessOptions
	Against     string       // another build of the server
	Ways        string       // a regular expression for the names of the ways to measure
	Pinned      bool         // the clients have other cores than what is measured
	cores       *unix.CPUSet // of what is measured; nil: all
}

func (o options) route() string { return "/v1/models/" + o.Model + "/predict" }

func (o options) serveArgs(addr string) []string {
	return append([]string{
		"--http.address=" + addr, "--repository.dir=" + o.Models, "--inference.models=" + o.Model + ":required",
		"--log.level=warn", "--inference.saturating_int8=" + strconv.FormatBool(o.Saturating),
	}, o.ServeFlags...)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

var verbs = map[string]func(context.Context, options, io.Writer) error{
	"ratio": ratio, "baseline": baseline, "soak": soak,
	"gpu": gpuBench, "gpu-group": gpuGroupBench,
	"slow-clients": slowClientsBench, "slow-clients-gateway": slowClientsGateway,
	"access": accessBench, "v2": v2Bench, "v2-loop": tensorLoop, "v2-bare": bareServer, "predict": predictBench,
}

// comparisons are the verbs with separate flags.
var comparisons = map[string]func(context.Context, []string, io.Writer) error{
	"peers": peers.Compare, "peers-table": peers.Table, "corpus": corpusBench, "counters": countersBench, "guard": guard,
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && comparisons[args[0]] != nil {
		return comparisons[args[0]](ctx, args[1:], out)
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		return errors.New("usage: bench ratio|baseline|predict|soak|slow-clients|access|v2|corpus|counters|guard|gpu|peers|peers-table [flags]; bench ratio -h lists the flags")
	}
	var o options
	flags := flag.NewFlagSet("bench "+args[0], flag.ContinueOnError)
	flags.StringVar(&o.Serve, "serve", "bin/serve", "the server's binary")
	flags.StringVar(&o.ServeLog, "serve-log", "", "file for the server's log")
	flags.StringVar(&o.Models, "models", "models", "models folder")
	model, connections := "efficientnet-lite0", 16
	if args[0] == "v2" {
		model, connections = "mobilenetv2-12-int8", 4
		flags.BoolVar(&o.Pinned, "pinned", true, "the server and the loop have one core, and the clients the others")
		flags.StringVar(&o.Against, "against", "", "the binary of another build of the server, which takes turns with it")
		flags.StringVar(&o.Ways, "ways", "", "measure only ways whose names match this regular expression")
	}
	flags.StringVar(&o.Model, "model", model, "model to use")
	flags.StringVar(&o.Images, "images", "testdata/images", "folder of images")
	flags.IntVar(&o.Connections, "connections", connections, "requests in flight")
	flags.DurationVar(&o.Duration, "duration", 10*time.Second, "length of one measurement")
	flags.IntVar(&o.Rounds, "rounds", 3, "alternating measurements of each side")
	flags.Int64Var(&o.Requests, "requests", 200_000, "requests of a soak test")
	flags.IntVar(&o.Files, "files", 1000, "images that serve predict gets")
	flags.Float64Var(&o.Limit, "limit", 64, "growth of resident memory that a soak test allows, in bytes per request")
	flags.BoolVar(&o.Saturating, "saturating-int8", false, "allow sums of int8 products to saturate, as ONNX Runtime does by default")
	if strings.HasPrefix(args[0], "slow-clients") {
		o.Slow.add(flags)
	}
	if args[0] == "access" {
		o.Access.add(flags)
	}
	if strings.HasPrefix(args[0], "gpu") {
		o.GPU.add(flags)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	return verbs[args[0]](ctx, o, out)
}
