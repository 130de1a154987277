package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"

	"fovea/inference"
	"fovea/internal/repository"
	"fovea/internal/verify"
)

// findings are what a run of models optimize found, and the file optimized.json of the version that it writes.
type findings struct {
	Model    string     `json:"model"`
	From     int        `json:"from"`    // the version that was optimized
	Version  int        `json:"version"` // that was written; 0: none
	To       string     `json:"to"`
	Bits     int        `json:"weight_bits,omitempty"`
	Exact    bool       `json:"processor_exact_int8"` // 8-bit weights cannot overflow on this processor
	Device   string     `json:"device"`
	Variants []*variant `json:"variants"`
}

// variant is a candidate, how it compares with the original, and why it is not kept.
type variant struct {
	Method  string   `json:"method"`
	LeftOut []string `json:"left_out"` // layers that keep float32
	Bytes   int64    `json:"bytes"`
	// Top1 is the share of images with the original's best class; with boxes, Agreement counts.
	Top1          float64          `json:"top1,omitempty"`
	Agreement     float64          `json:"agreement"`
	Difference    float64          `json:"mean_score_difference"`
	MaxDifference float64          `json:"max_score_difference"`
	Images        int              `json:"images"` // that were compared
	Accuracy      *verify.Accuracy `json:"accuracy,omitempty"`
	Speed         *speed           `json:"speed,omitempty"`
	Kept          bool             `json:"kept"`
	Reason        string           `json:"reason,omitempty"` // why it is not kept

	number     int // in the stage
	similarity float64
}

func (v *variant) folder() string { return strconv.Itoa(v.number) }

// tryAll compares candidates with the original, and measures the best that holds. It returns nil if none is kept.
func (o *optimization) tryAll(ctx context.Context, engine *inference.Engine, staged *repository.Repository, expected *verify.Expected,
	made []candidate) (*variant, error) {
	var best *variant
	for _, c := range made {
		v, err := o.stageVariant(c)
		if err != nil {
			return nil, err
		}
		o.found.Variants = append(o.found.Variants, v)
		if err := o.try(ctx, engine, staged, expected, v); err != nil {
			return nil, err
		}
		if v.Reason == "" && (best == nil || v.better(best)) {
			best = v
		}
	}
	if best == nil {
		return nil, nil //nolint:nilnil // it is not an error
	}
	if err := o.load(ctx, engine, staged, best); err != nil {
		return nil, err
	}
	o.say("measuring %s and the original in turns", best.Method)
	measured, err := o.measure(ctx, engine, best)
	if err != nil {
		return nil, err
	}
	best.Speed = measured
	if measured.Model < o.speedup {
		best.Reason = fmt.Sprintf("it is %.2f times as fast, less than %g", measured.Model, o.speedup)
		return nil, nil //nolint:nilnil // it is not an error
	}
	return best, nil
}

// better prefers the more accurate variant, then the more similar one.
func (v *variant) better(than *variant) bool {
	if v.Accuracy != nil && than.Accuracy != nil && v.Accuracy.Accuracy != than.Accuracy.Accuracy {
		return v.Accuracy.Accuracy > than.Accuracy.Accuracy
	}
	if v.Top1 != than.Top1 {
		return v.Top1 > than.Top1
	}
	return v.similarity > than.similarity
}

// stageVariant makes a candidate a version of the staged model, with the files that the original has next to its weights.
func (o *optimization) stageVariant(c candidate) (*variant, error) {
	number := o.target + len(o.found.Variants)
	v := &variant{Method: c.method, LeftOut: append([]string{}, c.leftOut...), number: number}
	dir := o.staged(v.folder())
	beside := func(name string) bool { // what describes the model, not external data
		return name != "optimized.json" && repository.IsSidecar(name)
	}
	if err := copyTree(o.staged(o.source.version()), dir, beside); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	weights := filepath.Join(dir, "model.onnx")
	if err := os.Rename(filepath.Join(o.stage, c.file), weights); err != nil {
		return nil, err
	}
	info, err := os.Stat(weights)
	if err != nil {
		return nil, err
	}
	v.Bytes = info.Size()
	return v, nil
}

// load has the engine serve the original and a variant.
func (o *optimization) load(ctx context.Context, engine *inference.Engine, staged *repository.Repository, v *variant) error {
	staged.Choose(o.source.model, o.source.number, v.number)
	if err := engine.Sync(ctx); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	return nil
}

// try compares a variant with the original.
func (o *optimization) try(ctx context.Context, engine *inference.Engine, staged *repository.Repository, expected *verify.Expected, v *variant) error {
	o.say("comparing %s", v.Method)
	if err := o.load(ctx, engine, staged, v); err != nil {
		if ctx.Err() != nil {
			return err
		}
		v.Reason = "it does not load: " + strings.ReplaceAll(err.Error(), "\n", "; ")
		return nil
	}
	chosen := chosenVersion{model: o.source.model, number: v.number}
	definition, err := definitionOf(engine, chosen)
	if err != nil {
		return err
	}
	report, err := verify.Run(ctx, verify.Options{Definition: definition, Images: o.held, Expected: expected, Tolerance: verify.DefaultTolerance(),
		Try: 1, Workers: runtime.GOMAXPROCS(0),
		Open: func(d repository.Definition) (verify.Predict, func(), error) {
			return openVersion(engine, o.images, chosen, d)
		}})
	if err != nil {
		return err
	}
	v.Top1, v.Agreement, v.Images, v.Accuracy, v.similarity = report.Top1, report.Agreement, report.Compared, report.Accuracy, report.Similarity
	v.Difference, v.MaxDifference = report.Difference, report.MaxDifference
	v.Reason = o.holds(report)
	o.say("%s: %s", v.Method, v)
	return nil
}

// print writes the findings as a table.
func (f *findings) print(out io.Writer) {
	_, _ = fmt.Fprintf(out, "%s version %d to %s on %s", f.Model, f.From, f.To, f.Device)
	if f.Bits > 0 {
		_, _ = fmt.Fprintf(out, ", weights of %d bits", f.Bits)
		if f.Bits == 8 && !f.Exact {
			_, _ = fmt.Fprint(out, ", whose sums overflow on this processor")
		}
	}
	_, _ = fmt.Fprintln(out)
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "METHOD\tLEFT OUT\tAGREEMENT\tDIFFERENCE\tACCURACY\tDROP\tMODEL\tIMAGE\tSIZE\t")
	for _, v := range f.Variants {
		agreement, accuracy, drop, model, image, note := v.Agreement, "", "", "", "", v.Reason
		if v.Top1 > 0 {
			agreement = v.Top1
		}
		if v.Accuracy != nil {
			accuracy, drop = fmt.Sprintf("%.4f", v.Accuracy.Accuracy), fmt.Sprintf("%.4f", *v.Accuracy.Drop)
		}
		if v.Speed != nil {
			model, image = fmt.Sprintf("%.2f ×", v.Speed.Model), fmt.Sprintf("%.2f ×", v.Speed.Image)
		}
		if v.Kept {
			note = fmt.Sprintf("kept as version %d", f.Version)
		}
		_, _ = fmt.Fprintf(w, "%s\t%d\t%.4f\t%.4f\t%s\t%s\t%s\t%s\t%.1f MB\t%s\n", v.Method, len(v.LeftOut), agreement, v.Difference, accuracy, drop, model, image,
			float64(v.Bytes)/1e6, note)
	}
	_ = w.Flush()
}

// String says how the variant compares with the original.
func (v *variant) String() string {
	text := fmt.Sprintf("agreement %.4f", v.Agreement)
	if v.Top1 > 0 {
		text = fmt.Sprintf("%.4f have the same best class", v.Top1)
	}
	if v.Accuracy != nil {
		text += fmt.Sprintf(", accuracy %.4f, a drop of %.4f", v.Accuracy.Accuracy, *v.Accuracy.Drop)
	}
	if v.Reason != "" {
		text += "; " + v.Reason
	}
	return text
}
