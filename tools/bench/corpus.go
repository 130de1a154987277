package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess"
	"fovea/preprocess/header"
	"fovea/tools/bench/corpus"
)

// mostRatio is how many times the CPU time of the costliest honest image of its format a hostile one may take.
const mostRatio = 1.5

// corpusOptions are the flags of the verb.
type corpusOptions struct {
	size   corpus.Size
	side   int
	rounds int
	only   *regexp.Regexp
	folder string
	flood  floodOptions
}

// cost is what an image of the corpus costs.
type cost struct {
	corpus.Image
	data []byte // kept for a flood alone
	size int
	cpu  time.Duration // of the process, user and system
	err  error
}

// corpusBench measures what the images of the corpus cost to prepare for a model, against the costliest honest one of their
// format, and may send them to a server. It fails when one costs too much.
func corpusBench(ctx context.Context, args []string, out io.Writer) error {
	var o corpusOptions
	flags := flag.NewFlagSet("bench corpus", flag.ContinueOnError)
	flags.IntVar(&o.size.Pixels, "pixels", header.DefaultMaxPixels, "pixels of the largest images")
	flags.IntVar(&o.size.Bytes, "bytes", 16<<20, "bytes of the largest files")
	flags.IntVar(&o.side, "side", 224, "sides of the model's input, to which images are stretched")
	flags.IntVar(&o.rounds, "rounds", 3, "measurements of each image, of which the least counts")
	only := flags.String("only", "", "measure only images whose format and name match this regular expression")
	flags.StringVar(&o.folder, "write", "", "folder to which the files are written")
	o.flood.add(flags)
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	costs, err := measure(ctx, o)
	if err != nil {
		return err
	}
	if o.flood.url != "" {
		err = flood(ctx, o.flood, costs, out)
	}
	return errors.Join(err, tabulate(costs, out))
}

// measure makes and prepares all images. Only the costliest are kept, since all together are a gigabyte.
func measure(ctx context.Context, o corpusOptions) ([]cost, error) {
	plan, err := preprocess.NewPlan(repository.Input{Width: o.side, Height: o.side, DType: repository.Float32}.WithDefaults())
	if err != nil {
		return nil, err
	}
	row := make([]byte, plan.RowBytes())
	var costs []cost
	for _, image := range corpus.Images() {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !o.only.MatchString(image.Format + " " + image.Name) {
			continue
		}
		data := image.Make(o.size)
		runtime.GC() // what making it has left is no cost of the image
		c := cost{Image: image, data: data, size: len(data), cpu: time.Hour}
		for range o.rounds {
			took, err := prepare(ctx, plan, row, data, header.Limits{MaxPixels: int64(o.size.Pixels)})
			c.cpu, c.err = min(c.cpu, took), err
		}
		if o.folder != "" {
			name := strings.NewReplacer(" ", "_", ",", "", "/", "_", ":", "").Replace(image.Format + "_" + image.Name)
			if err := os.WriteFile(filepath.Join(o.folder, name), data, 0o644); err != nil {
				return nil, err
			}
		}
		costs = append(costs, c)
		keepCostliest(costs, o.flood.worst)
	}
	return costs, nil
}

// keepCostliest lets go of the files of all but the n costliest hostile images.
func keepCostliest(costs []cost, n int) {
	kept := costliest(costs, n)
	for i := range costs {
		if !slices.ContainsFunc(kept, func(k cost) bool { return k.Name == costs[i].Name && k.Format == costs[i].Format }) {
			costs[i].data = nil
		}
	}
}

// costliest are the n hostile images that cost most.
func costliest(costs []cost, n int) []cost {
	hostile := slices.DeleteFunc(slices.Clone(costs), func(c cost) bool { return c.Honest })
	slices.SortStableFunc(hostile, func(a, b cost) int { return int(b.cpu - a.cpu) })
	return hostile[:min(n, len(hostile))]
}

// prepare reads, decodes and packs an image, and returns the CPU time that took.
func prepare(ctx context.Context, plan *preprocess.Plan, row, data []byte, limits header.Limits) (time.Duration, error) {
	before, err := cpuTime()
	if err != nil {
		return 0, err
	}
	err = func() error {
		info, err := header.Read(data, limits)
		if err != nil {
			return err
		}
		img, err := plan.Decode(ctx, data, info)
		if err != nil {
			return err
		}
		defer img.Close()
		_, err = plan.Pack(img, row)
		return err
	}()
	after, clockErr := cpuTime()
	return after - before, errors.Join(err, clockErr)
}

// cpuTime is what this process has used so far.
func cpuTime() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("read the CPU time: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// tabulate prints the costs by format, the costliest first, and names those that cost too much.
func tabulate(costs []cost, out io.Writer) error {
	honest := map[string]time.Duration{}
	for _, c := range costs {
		if c.Honest {
			honest[c.Format] = max(honest[c.Format], c.cpu)
		}
	}
	slices.SortStableFunc(costs, func(a, b cost) int {
		if a.Format != b.Format {
			return strings.Compare(a.Format, b.Format)
		}
		return int(b.cpu - a.cpu)
	})
	var wrong []error
	fmt.Fprintf(out, "%-7s %-48s %10s %9s %6s  %s\n", "format", "image", "bytes", "CPU s", "ratio", "outcome")
	for _, c := range costs {
		ratio, text := float64(c.cpu)/float64(honest[c.Format]), "row packed"
		name := c.Name
		switch {
		case c.Large:
			name += " (honest, of any size)"
		case c.Honest:
			name += " (honest)"
		case honest[c.Format] > 0 && ratio > mostRatio:
			wrong = append(wrong, fmt.Errorf("%s, %s: %.2f times an honest image, more than %v", c.Format, c.Name, ratio, mostRatio))
		}
		if c.err != nil {
			text = fmt.Sprintf("%s: %s", apierror.From(c.err).Code, apierror.From(c.err).Message)
		}
		fmt.Fprintf(out, "%-7s %-48s %10d %9.3f %6.2f  %s\n", c.Format, name, c.size, c.cpu.Seconds(), ratio, text)
	}
	return errors.Join(wrong...)
}
