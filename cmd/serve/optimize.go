package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fovea/inference"
	"fovea/inference/onnx"
	"fovea/internal/cli"
	"fovea/internal/fileutil"
	"fovea/internal/repository"
	"fovea/internal/verify"

	"github.com/spf13/cobra"
)

// The values of --to.
const (
	toInt8 = "int8"
	toFP16 = "fp16"
)

// optimization is one run of models optimize.
type optimization struct {
	cfg                      Config
	text                     string // NAME or NAME/VERSION
	to, images               string
	bits                     int // of int8 weights; 0: as the processor needs
	calibration, limit       int
	drop, agreement, speedup float64 // agreement -1: not given
	python, container        string
	json                     bool
	out, progress            io.Writer

	source      chosenVersion
	target      int      // the version that is written
	stage       string   // a hidden folder of the repository, in which all happens
	calibrating []string // images
	held        []string // the images that variants are compared with
	command     []string // runs the quantizer in the stage
	found       findings
}

const optimizeHelp = `Write a further version of a model that is smaller and faster, and checked.

int8 quantizes weights and activations with ranges from calibration images; on x86 without VNNI weights get 7 bits, so that
no sum of products overflows. fp16 is for GPUs. Half of --images at most calibrate, and with the others each variant is
compared with the original version: top-1 agreement, scores, and the accuracy if the folders are named after classes
(CLASS/FILE). Several ways to find the ranges are tried, then those with the first and last layers left out. A variant is
kept if the accuracy and the agreement hold and it is faster on this machine, measured in turns with the original.
Otherwise the command says what it found, and leaves nothing behind.

The quantizer is a Python program that needs onnx and onnxruntime. It is run with --python, else with a python3 that has
them, else by uv with the training project, else in the container image --container.`

func optimizeCommand() *cobra.Command {
	o := &optimization{to: toInt8, calibration: 128, limit: 1000, drop: 0.01, agreement: -1, speedup: 1.05, container: "fovea-train:cpu"}
	c := &cobra.Command{
		Use: "optimize NAME", Short: "Write a smaller and faster version of a model, if it is as accurate", Long: optimizeHelp,
		Example:           "  serve models optimize flowers --images heldout\n  serve models optimize flowers/3 --images heldout --to fp16",
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeModels,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.cfg, err = configured(c); err != nil {
				return err
			}
			ctx, stop := cli.WithSignals(c.Context())
			defer stop()
			o.text, o.out, o.progress = args[0], c.OutOrStdout(), c.ErrOrStderr()
			if err := o.run(ctx); err != nil {
				return fmt.Errorf("models optimize: %w", err)
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&o.images, "images", "", "folder with images; empty: that of the model's versions.gate")
	f.StringVar(&o.to, "to", o.to, "int8, or fp16 for GPUs")
	f.Float64Var(&o.drop, "max-drop", o.drop, "largest drop of the accuracy (0–1)")
	f.Float64Var(&o.agreement, "min-agreement", o.agreement, "lowest share of images with the same best class, or agreement of boxes (0–1); -1: 0.95, or 1 − max-drop if there is no accuracy of a classifier")
	f.Float64Var(&o.speedup, "min-speedup", o.speedup, "how many times as fast the model must run")
	f.IntVar(&o.calibration, "calibration", o.calibration, "images that calibrate, at most half of all")
	f.IntVar(&o.limit, "limit", o.limit, "images that variants are compared with; 0: all that do not calibrate")
	f.IntVar(&o.bits, "weight-bits", 0, "7 or 8 bits for int8 weights; 0: 7 on x86 without VNNI, else 8")
	f.StringVar(&o.python, "python", "", "Python interpreter that has onnx and onnxruntime")
	f.StringVar(&o.container, "container", o.container, "container image with the training project, for Docker")
	f.BoolVar(&o.json, "json", false, "print JSON")
	cli.Folders(c, "images")
	cli.Words(c, "to", toInt8, toFP16)
	return c
}

func (o *optimization) check() error {
	var errs []error
	add := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if o.to != toInt8 && o.to != toFP16 {
		add("--to: %q is neither int8 nor fp16", o.to)
	}
	if o.bits != 0 && o.bits != 7 && o.bits != 8 {
		add("--weight-bits: %d is neither 7 nor 8", o.bits)
	}
	if !(o.drop >= 0 && o.drop <= 1) {
		add("--max-drop: %v is out of range (0–1)", o.drop)
	}
	if o.agreement != -1 && !(o.agreement >= 0 && o.agreement <= 1) {
		add("--min-agreement: %v is out of range (0–1)", o.agreement)
	}
	if !(o.speedup >= 0 && o.speedup <= 100) {
		add("--min-speedup: %v is out of range (0–100)", o.speedup)
	}
	if o.calibration < 1 {
		add("--calibration: %d is less than 1", o.calibration)
	}
	if o.limit < 0 {
		add("--limit: %d is less than 0", o.limit)
	}
	if isPath(o.text) {
		if name, number := splitVersion(openRepository(o.cfg.Repository.Dir), o.text); number == 0 {
			add("%s is not a model of the repository %s; serve models add puts it there", name, o.cfg.Repository.Dir)
		}
	}
	if o.bits == 0 {
		if o.bits = 8; onnx.Int8Saturates() {
			o.bits = 7
		}
	}
	return errors.Join(errs...)
}

// run writes the version. Whatever happens, nothing else is left.
func (o *optimization) run(ctx context.Context) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	if err := o.prepare(); err != nil {
		return err
	}
	if o.command, err = o.quantizer(ctx); err != nil {
		return err
	}
	unlock, err := lockStage(o.stage, o.source.model+" is being optimized")
	if err != nil {
		return err
	}
	defer unlock()
	defer func() { err = errors.Join(err, os.RemoveAll(o.stage)) }()
	if err := o.copySource(); err != nil {
		return err
	}
	cfg := o.cfg
	cfg.Inference.ThreadsAlone = 1          // what is measured is one thread per image
	cfg.Inference.NormalizeInPacking = true // the quantizer reads the file's own tensors
	staged := openRepository(o.staged(""))
	staged.Choose(o.source.model, o.source.number)
	models := []inference.ModelConfig{{Name: o.source.model, Required: true}}
	return withModels(ctx, cfg, staged, models, func(engine *inference.Engine, failed error) error {
		if failed != nil {
			return failed
		}
		return o.search(ctx, engine, staged)
	})
}

// prepare finds the version and the images.
func (o *optimization) prepare() error {
	repo := openRepository(o.cfg.Repository.Dir)
	chosen, _, err := chooseVersions(repo, []string{o.text})
	if err != nil {
		return err
	}
	o.source = chosen[0]
	if task := o.source.entry.Definition.Task; task == repository.NoTask {
		return fmt.Errorf("model %s has no task, so that there are no predictions to compare", o.source.model)
	} else if !task.IsCompared() {
		return fmt.Errorf("the task of model %s is %s; predictions are compared by classes or boxes, which it has none of", o.source.model, task)
	}
	weights, err := o.source.entry.Weights(o.source.found())
	if err != nil {
		return err
	}
	if weights.Quantized {
		return fmt.Errorf("%s is quantized already; name another version as %s/VERSION", o.source, o.source.model)
	}
	if o.target, err = nextVersion(o.source.entry.Dir); err != nil {
		return err
	}
	o.stage = filepath.Join(o.cfg.Repository.Dir, ".optimize-"+o.source.model)
	key := "--images"
	if o.images == "" {
		key, o.images = "versions.gate.images", o.source.entry.GateFolder()
		if o.images == "" {
			return errors.New("--images: is required, as the model has no versions.gate: a folder with images")
		}
	}
	images, err := verify.Images(o.images)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	if len(images) < minOptimizeImages {
		return fmt.Errorf("%s: %s has %s; want at least %d, and hundreds to judge by", key, o.images, counted(len(images), "image", "images"), minOptimizeImages)
	}
	o.split(images)
	return nil
}

// minOptimizeImages is how many images are needed: half of them calibrate.
const minOptimizeImages = 20

// split takes the images that calibrate at even distances, and compares with the others.
func (o *optimization) split(images []string) {
	if o.to == toInt8 {
		o.calibrating = verify.Spread(images, min(o.calibration, len(images)/2))
	}
	rest := slices.DeleteFunc(slices.Clone(images), func(image string) bool {
		_, found := slices.BinarySearch(o.calibrating, image)
		return found
	})
	o.held = verify.Spread(rest, o.limit)
}

// search makes variants, from the fastest on, until one holds.
func (o *optimization) search(ctx context.Context, engine *inference.Engine, staged *repository.Repository) (err error) {
	if err := o.writeRows(ctx, engine); err != nil {
		return err
	}
	o.say("comparing with %s", counted(len(o.held), "image", "images"))
	expected, err := predicted(ctx, engine, o.images, o.source, o.held)
	if err != nil {
		return err
	}
	o.found = findings{Model: o.source.model, From: o.source.number, To: o.to, Exact: !onnx.Int8Saturates(), Device: engine.Device()}
	if o.to == toInt8 {
		o.found.Bits = o.bits
	}
	for _, leaveOut := range o.steps() {
		made, err := o.make(ctx, leaveOut)
		if err != nil {
			return err
		}
		kept, err := o.tryAll(ctx, engine, staged, expected, made)
		if err != nil {
			return err
		}
		if kept != nil {
			return o.keep(kept)
		}
	}
	return errors.Join(o.print(), errors.New("no variant is kept, and nothing is written"))
}

// steps are the values of the quantizer's --leave-out.
func (o *optimization) steps() []string {
	if o.to == toFP16 {
		return []string{"none"}
	}
	return []string{"none", "ends"}
}

func (o *optimization) say(format string, args ...any) {
	_, _ = fmt.Fprintf(o.progress, format+"\n", args...)
}

// keep moves the variant to its place, at once for those who read the repository.
func (o *optimization) keep(v *variant) error {
	o.found.Version, v.Kept = o.target, true
	record, err := json.MarshalIndent(o.found, "", "  ")
	if err != nil {
		return err
	}
	if err := fileutil.Replace(filepath.Join(o.staged(v.folder()), "optimized.json"), append(record, '\n'), 0o644); err != nil {
		return err
	}
	to := filepath.Join(o.cfg.Repository.Dir, o.source.model, fmt.Sprint(o.target))
	if err := move(o.staged(v.folder()), to, false); err != nil {
		return err
	}
	return errors.Join(fileutil.SyncDir(filepath.Dir(to)), o.print())
}

// print says what was found.
func (o *optimization) print() error {
	if o.json {
		return cli.JSON(o.out, o.found)
	}
	o.found.print(o.out)
	if o.found.Version == 0 {
		return nil
	}
	added := &addition{cfg: o.cfg, name: o.source.model, version: o.target, out: o.out}
	added.printServed()
	return nil
}

// lowestAgreement is --min-agreement, or its default. Without the accuracy of a classifier, the agreement bounds its drop.
func (o *optimization) lowestAgreement(r *verify.Report) float64 {
	switch {
	case o.agreement >= 0:
		return o.agreement
	case r.Accuracy == nil && !r.Detection:
		return 1 - o.drop
	}
	return defaultAgreement
}

// holds says why a variant is not as good as the original; empty if it is.
func (o *optimization) holds(r *verify.Report) string {
	var reasons []string
	agreement := r.Top1
	if r.Detection {
		agreement = r.Agreement
	}
	if lowest := o.lowestAgreement(r); agreement < lowest-rounding {
		reasons = append(reasons, fmt.Sprintf("the agreement is below %g", lowest))
	}
	if r.Accuracy != nil && r.Accuracy.Drop != nil && *r.Accuracy.Drop > o.drop+rounding {
		reasons = append(reasons, fmt.Sprintf("the accuracy drops by more than %g", o.drop))
	}
	return strings.Join(reasons, ", ")
}

// rounding is what differences of shares may be off.
const rounding = 1e-9
