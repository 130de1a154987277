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
	"time"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/preprocess"
	"fovea/preprocess/header"
	"fovea/tools/bench/corpus"
	"fovea/tools/bench/proc"
)

// maxRatio bounds a hostile image's CPU time, as a multiple of the most expensive ordinary image of its format.
const maxRatio = 1.5

// corpusOptions are the flags of the verb.
type corpusOptions struct {
	size   corpus.Size
	side   int
	color  string
	rounds int
	only   *regexp.Regexp
	folder string
	flood  floodOptions
}

// cost is the cost of an image of the corpus.
type cost struct {
	corpus.Image
	data []byte // kept only for a flood
	size int
	cpu  time.Duration // of the process, user and system
	err  error
}

// corpusBench measures the CPU time that preprocessing takes for each image of the corpus, relative to the most expensive
// ordinary image of its format, and optionally sends them to a server. It fails if one is too expensive.
func corpusBench(ctx context.Context, args []string, out io.Writer) error {
	var o corpusOptions
	flags := flag.NewFlagSet("bench corpus", flag.ContinueOnError)
	flags.IntVar(&o.size.Pixels, "pixels", header.DefaultMaxPixels, "pixels of the largest images")
	flags.IntVar(&o.size.Bytes, "bytes", 16<<20, "bytes of the largest files")
	flags.IntVar(&o.side, "side", 224, "side of the model's input; images are resized to it")
	flags.StringVar(&o.color, "color", repository.ColorRGB, "color of the model's input; rgba decodes alpha")
	flags.IntVar(&o.rounds, "rounds", 3, "measurements of each image; the minimum counts")
	only := flags.String("only", "", "measure only images whose format and name match this regular expression")
	flags.StringVar(&o.folder, "write", "", "folder to write the images to")
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

// measure generates and preprocesses all images. Only the most expensive are kept: together they are a gigabyte.
func measure(ctx context.Context, o corpusOptions) ([]cost, error) {
	plan, err := preprocess.NewPlan(repository.Input{Width: o.side, Height: o.side, Color: o.color, DType: repository.Float32}.WithDefaults())
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
		runtime.GC() // garbage of generating it is not its cost
		c := cost{Image: image, data: data, size: len(data), cpu: time.Hour}
		for range o.rounds {
			before := proc.OwnCPU()
			c.err = prepare(ctx, plan, row, data, header.Limits{MaxPixels: int64(o.size.Pixels)})
			c.cpu = min(c.cpu, proc.OwnCPU()-before)
		}
		if o.folder != "" {
			name := strings.NewReplacer(" ", "_", ",", "", "/", "_", ":", "").Replace(image.Format + "_" + image.Name)
			if err := os.WriteFile(filepath.Join(o.folder, name), data, 0o644); err != nil {
				return nil, err
			}
		}
		costs = append(costs, c)
		keepMostExpensive(costs, o.flood.worst)
	}
	return costs, nil
}

// keepMostExpensive drops the data of all but the n most expensive hostile images.
func keepMostExpensive(costs []cost, n int) {
	kept := mostExpensive(costs, n)
	for i := range costs {
		if !slices.ContainsFunc(kept, func(k cost) bool { return k.Name == costs[i].Name && k.Format == costs[i].Format }) {
			costs[i].data = nil
		}
	}
}

// mostExpensive returns the n most expensive hostile images.
func mostExpensive(costs []cost, n int) []cost {
	hostile := slices.DeleteFunc(slices.Clone(costs), func(c cost) bool { return c.Honest })
	slices.SortStableFunc(hostile, func(a, b cost) int { return int(b.cpu - a.cpu) })
	return hostile[:min(n, len(hostile))]
}

// prepare decodes an image and packs it into a row.
func prepare(ctx context.Context, plan *preprocess.Plan, row, data []byte, limits header.Limits) error {
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
}

// tabulate prints the costs by format, the most expensive first, and reports those that are too expensive.
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
			name += " (ordinary, any file size)"
		case c.Honest:
			name += " (ordinary)"
		case honest[c.Format] > 0 && ratio > maxRatio:
			wrong = append(wrong, fmt.Errorf("%s, %s: %.2f times the CPU time of an ordinary image, more than %v", c.Format, c.Name, ratio, maxRatio))
		}
		if c.err != nil {
			text = fmt.Sprintf("%s: %s", apierror.From(c.err).Code, apierror.From(c.err).Message)
		}
		fmt.Fprintf(out, "%-7s %-48s %10d %9.3f %6.2f  %s\n", c.Format, name, c.size, c.cpu.Seconds(), ratio, text)
	}
	return errors.Join(wrong...)
}
