// Command bench measures the server against what it cannot beat: the same images, prepared and run with the same
// sessions in a plain loop without HTTP; and against other servers. It also soaks the server, holds idle connections against
// it, measures what hostile images cost, and measures GPUs. Run it by `make bench`, `make bench-peers`, `make soak`,
// `make bench-corpus` and `make gpu-bench`.
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
)

// options are the flags of every verb.
type options struct {
	Serve       string        // the server's binary
	ServeLog    string        // where its log goes; empty: shown only if it fails
	Models      string        // the models folder
	Model       string        // the model that answers
	Images      string        // a folder of images
	Connections int           // requests under way at once
	Duration    time.Duration // of one measurement
	Rounds      int           // measurements of each side, in turn
	Requests    int64         // of a soak
	Limit       float64       // of a soak's growth, in bytes of resident memory a request
	ServeFlags  []string      // more flags of the server
	Saturating  bool          // the server's inference.saturating_int8, and the loop's
	GPU         gpuOptions
	Idle        idleOptions
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
	"ratio": ratio, "floor": floor, "soak": soak,
	"gpu": gpuBench, "gpu-group": gpuGroupBench,
	"idle": idleBench, "idle-gateway": idleGateway,
}

// comparisons are the verbs with flags of their own.
var comparisons = map[string]func(context.Context, []string, io.Writer) error{
	"peers": peers.Compare, "peers-table": peers.Table, "corpus": corpusBench,
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && comparisons[args[0]] != nil {
		return comparisons[args[0]](ctx, args[1:], out)
	}
	if len(args) == 0 || verbs[args[0]] == nil {
		return errors.New("usage: bench ratio|floor|soak|idle|corpus|gpu|peers|peers-table [flags]; bench ratio -h lists the flags")
	}
	var o options
	flags := flag.NewFlagSet("bench "+args[0], flag.ContinueOnError)
	flags.StringVar(&o.Serve, "serve", "bin/serve", "the server's binary")
	flags.StringVar(&o.ServeLog, "serve-log", "", "file for the server's log")
	flags.StringVar(&o.Models, "models", "models", "models folder")
	flags.StringVar(&o.Model, "model", "efficientnet-lite0", "model that answers")
	flags.StringVar(&o.Images, "images", "testdata/images", "folder of images")
	flags.IntVar(&o.Connections, "connections", 16, "requests under way at once")
	flags.DurationVar(&o.Duration, "duration", 10*time.Second, "length of one measurement")
	flags.IntVar(&o.Rounds, "rounds", 3, "measurements of each side, in turn")
	flags.Int64Var(&o.Requests, "requests", 200_000, "requests of a soak")
	flags.Float64Var(&o.Limit, "limit", 64, "growth of resident memory that a soak allows, in bytes a request")
	flags.BoolVar(&o.Saturating, "saturating-int8", false, "sums of int8 products may be cut off, as with ONNX Runtime's defaults")
	if strings.HasPrefix(args[0], "idle") {
		o.Idle.add(flags)
	}
	if strings.HasPrefix(args[0], "gpu") {
		o.GPU.add(flags)
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	return verbs[args[0]](ctx, o, out)
}
