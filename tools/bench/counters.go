package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"net/http"
	"strconv"
	"time"

	"fovea/tools/bench/pairs"
)

// pairFlags are the flags that `bench counters` and `bench guard` share.
type pairFlags struct {
	model, models, images string
	saturating            bool
	load                  pairs.Load
}

func (p *pairFlags) add(f *flag.FlagSet, rounds int) {
	f.StringVar(&p.model, "model", "efficientnet-lite0", "model to use")
	f.StringVar(&p.models, "models", "models", "models folder")
	f.StringVar(&p.images, "images", "testdata/images", "folder of images, sent as raw bodies")
	f.BoolVar(&p.saturating, "saturating-int8", false, "allow sums of int8 products to saturate, as ONNX Runtime does by default")
	f.IntVar(&p.load.Connections, "connections", 8, "requests in flight")
	f.IntVar(&p.load.Rounds, "rounds", rounds, "turns of each variant")
	f.DurationVar(&p.load.Warmup, "warmup", time.Second, "length of the load before a measurement")
	f.DurationVar(&p.load.Window, "window", 3*time.Second, "length of one measurement")
	f.DurationVar(&p.load.Lone, "lone", time.Second, "length of one request at a time before it; 0: none")
	f.DurationVar(&p.load.Budget, "budget", 0, "start no round after this time; 0: no limit")
}

// complete reads the images and sets what the server gets.
func (p *pairFlags) complete() error {
	list, err := images(p.images)
	if err != nil {
		return err
	}
	for _, data := range list {
		p.load.Bodies = append(p.load.Bodies, pairs.Body{Data: data, ContentType: http.DetectContentType(data)})
	}
	o := options{Models: p.models, Model: p.model, Saturating: p.saturating}
	p.load.Route, p.load.Args = o.route(), o.serveArgs
	if p.load.Rounds < 1 || p.load.Connections < 1 {
		return errors.New("rounds and connections must be at least 1")
	}
	return nil
}

// countersBench is the verb `bench counters`: what the kernel counts per image, of several variants of the server, such as one
// process against two pinned ones.
func countersBench(ctx context.Context, args []string, out io.Writer) error {
	var p pairFlags
	var variants pairs.Variants
	f := flag.NewFlagSet("bench counters", flag.ContinueOnError)
	p.add(f, 7)
	f.Var(&variants, "variant", `way to run the server, may be repeated: "NAME: [Nx] [pinned] [KEY=VALUE…] PROGRAM [FLAG…]"; Nx: N processes; pinned: each on its own core (default: one process, and one per core)`)
	cores := f.Int("cores", 2, "cores, for the default variants")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := p.complete(); err != nil {
		return err
	}
	if len(variants) == 0 {
		n := strconv.Itoa(*cores)
		for _, text := range []string{"one: bin/serve", "pinned: " + n + "x pinned GOMAXPROCS=1 bin/serve --inference.workers=1 --inference.instances=1"} {
			if err := variants.Set(text); err != nil {
				return err
			}
		}
	}
	rounds, err := pairs.Run(ctx, variants, p.load, out)
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	pairs.Summarize(out, variants, rounds)
	return err
}
