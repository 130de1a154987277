package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"fovea/inference"
	"fovea/internal/cli"
	"fovea/internal/repository"
	"fovea/internal/verify"

	"github.com/spf13/cobra"
)

// verifyOptions are the flags of models verify.
type verifyOptions struct {
	images, expect, against, annotations string
	tolerance                            verify.Tolerance
	agreement                            float64 // -1: not given
	top1, accuracy                       float64
	drop, difference, meanDifference     float64
	limit, try                           int
	always, json                         bool
}

const verifyHelp = `Predict the images in a folder as the server would, and compare with other predictions.
NAME is a model of the repository, with its newest served version or NAME/VERSION, or the path of an ONNX file or of a
model's folder.

--expect is a file, or a folder with a file per image, of what the exporter's own program predicted. Its format is
recognized by its content: Ultralytics' text files (yolo predict save_txt=True save_conf=True) or JSON (results.to_json(),
predictions.json of yolo val save_json=True), COCO results, a CSV of classes (file,label,score), or responses of /predict.
--against is another version or model, such as NAME/1. With neither, the classes that the images' folders are named after
are expected: CLASS/FILE, as torchvision's ImageFolder has it. Such folders also give the accuracy of a classifier.

If the predictions disagree, alternatives to the definition's settings are tried, one at a time and the best with a second,
and the likely wrong key is named.

Exit status: 0 if every limit holds (--min-…, --max-…), else 1.`

// defaultAgreement is the lowest agreement for exit status 0, unless classes of folders are expected, and that of an optimized version,
// unless only the agreement tells its accuracy.
const defaultAgreement = 0.95

func verifyDefaults() verifyOptions {
	return verifyOptions{tolerance: verify.DefaultTolerance(), agreement: -1, drop: 1, difference: 1, meanDifference: 1, try: 12}
}

func verifyCommand() *cobra.Command {
	o := verifyDefaults()
	c := modelsSubcommand("verify NAME", "Compare a model's predictions with those of its exporter or another version, and find the wrong key", cobra.ExactArgs(1),
		func(ctx context.Context, cfg Config, names []string, out io.Writer) error {
			return verifyModel(ctx, cfg, names[0], o, out)
		})
	c.Long, c.ValidArgsFunction = verifyHelp, completeModels
	c.Example = "  serve models verify yolo --images images --expect labels\n  serve models verify flowers/2 --images heldout --against flowers/1 --max-drop 0.01"
	f := c.Flags()
	f.StringVar(&o.images, "images", "", "folder with images (required)")
	f.StringVar(&o.expect, "expect", "", "file or folder with the expected predictions")
	f.StringVar(&o.against, "against", "", "NAME/VERSION, NAME or path of a model whose predictions are expected")
	f.StringVar(&o.annotations, "annotations", "", "COCO annotation file that names the images and categories of COCO results")
	f.Float64Var(&o.tolerance.IoU, "iou", o.tolerance.IoU, "lowest IoU of boxes that agree (0–1)")
	f.Float64Var(&o.tolerance.Score, "score", o.tolerance.Score, "largest difference of scores that agree (0–1)")
	f.Float64Var(&o.agreement, "min-agreement", o.agreement, "lowest agreement for exit status 0 (0–1); -1: 0.95, or 0 with neither --expect nor --against")
	f.Float64Var(&o.top1, "min-top1", o.top1, "lowest share of images with the same best class for exit status 0 (0–1)")
	f.Float64Var(&o.accuracy, "min-accuracy", o.accuracy, "lowest accuracy for exit status 0 (0–1)")
	f.Float64Var(&o.drop, "max-drop", o.drop, "largest drop of the accuracy below what is expected for exit status 0 (0–1)")
	f.Float64Var(&o.difference, "max-difference", o.difference, "largest difference of scores for exit status 0 (0–1)")
	f.Float64Var(&o.meanDifference, "max-mean-difference", o.meanDifference, "largest mean difference of scores for exit status 0 (0–1)")
	f.IntVar(&o.limit, "limit", 0, "compare this many images; 0: all")
	f.IntVar(&o.try, "try", o.try, "images that alternatives are tried with")
	f.BoolVar(&o.always, "alternatives", false, "try alternatives even if the predictions agree")
	f.BoolVar(&o.json, "json", false, "print JSON")
	cli.Folders(c, "images")
	return c
}

func (o *verifyOptions) check() error {
	var errs []error
	if o.images == "" {
		errs = append(errs, errors.New("--images: is required: a folder with images"))
	}
	if o.expect != "" && o.against != "" {
		errs = append(errs, errors.New("--against: give either this or --expect"))
	}
	if o.agreement < 0 {
		o.agreement = defaultAgreement
		if o.expect == "" && o.against == "" {
			o.agreement = 0
		}
	}
	for _, f := range []struct {
		flag  string
		value float64
	}{{"--iou", o.tolerance.IoU}, {"--score", o.tolerance.Score}, {"--min-agreement", o.agreement}, {"--min-top1", o.top1},
		{"--min-accuracy", o.accuracy}, {"--max-drop", o.drop}, {"--max-difference", o.difference}, {"--max-mean-difference", o.meanDifference}} {
		if !(f.value >= 0 && f.value <= 1) {
			errs = append(errs, fmt.Errorf("%s: %v is out of range (0–1)", f.flag, f.value))
		}
	}
	if o.limit < 0 {
		errs = append(errs, fmt.Errorf("--limit: %d is less than 0", o.limit))
	}
	if o.try < 1 {
		errs = append(errs, fmt.Errorf("--try: %d is less than 1", o.try))
	}
	return errors.Join(errs...)
}

// verifyModel loads a model, and the one it is compared with, as the server would, and compares their predictions.
func verifyModel(ctx context.Context, cfg Config, name string, o verifyOptions, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	var expected *verify.Expected
	var err error
	if o.expect != "" {
		if expected, err = verify.Load(o.expect, o.annotations); err != nil {
			return fmt.Errorf("--expect: %w", err)
		}
	}
	images, err := verify.Images(o.images)
	if err != nil {
		return fmt.Errorf("--images: %w", err)
	}
	cfg.Inference.ThreadsAlone = 1 // no second session: images are predicted at the same time
	cfg.Inference.NormalizeInPacking = true
	repo := openRepository(cfg.Repository.Dir)
	names := []string{name}
	if o.against != "" {
		names = append(names, o.against)
	}
	chosen, models, err := chooseVersions(repo, names)
	if err != nil {
		return err
	}
	return withModels(ctx, cfg, repo, models, func(engine *inference.Engine, failed error) error {
		if failed != nil {
			return failed
		}
		return o.run(ctx, engine, chosen, expected, images, out)
	})
}

// run compares the first of the chosen versions with what is expected, or with the second.
func (o *verifyOptions) run(ctx context.Context, engine *inference.Engine, chosen []chosenVersion, expected *verify.Expected, images []string, out io.Writer) error {
	definition, err := definitionOf(engine, chosen[0])
	if err != nil {
		return err
	}
	limit := o.limit
	switch {
	case !definition.Task.IsCompared():
		err = fmt.Errorf("the task of %s is %s; predictions are compared by classes or boxes, which it has none of", chosen[0], definition.Task)
	case len(chosen) > 1:
		images, limit = verify.Spread(images, limit), 0
		expected, err = predicted(ctx, engine, o.images, chosen[1], images)
	case expected == nil && definition.Task != repository.Classification:
		err = fmt.Errorf("--expect or --against: is required: the task of %s is %s, and folders tell classes", chosen[0], definition.Task)
	case expected == nil:
		if expected, err = verify.NewFolders(definition.Labels).Expected(images); err != nil {
			err = fmt.Errorf("--images: %w, with --expect or --against", err)
		}
	}
	if err != nil {
		return err
	}
	report, err := verify.Run(ctx, verify.Options{Definition: definition, Images: images, Expected: expected, Tolerance: o.tolerance,
		MinAgreement: o.agreement, Always: o.always, Try: o.try, Limit: limit, Workers: runtime.GOMAXPROCS(0),
		Open: func(d repository.Definition) (verify.Predict, func(), error) {
			return openVersion(engine, o.images, chosen[0], d)
		}})
	if err != nil {
		return err
	}
	if o.json {
		err = cli.JSON(out, report)
	} else {
		report.Print(out, chosen[0].String(), o.tolerance)
	}
	return errors.Join(err, o.judge(report))
}

// predicted are the predictions of a version for images of a folder as what is expected.
func predicted(ctx context.Context, engine *inference.Engine, dir string, v chosenVersion, images []string) (*verify.Expected, error) {
	definition, err := definitionOf(engine, v)
	if err != nil {
		return nil, err
	}
	predict, end, err := openVersion(engine, dir, v, definition)
	if err != nil {
		return nil, err
	}
	defer end()
	return verify.Predicted(ctx, v.String(), definition.Task.FindsObjects(), images, predict, runtime.GOMAXPROCS(0))
}

// judge is an error that lists the limits that do not hold.
func (o *verifyOptions) judge(r *verify.Report) error {
	var errs []error
	lowest := func(what string, value float64, flag string, limit float64) {
		if value < limit {
			errs = append(errs, fmt.Errorf("models verify: the %s %.4f is below %s %g", what, value, flag, limit))
		}
	}
	highest := func(what string, value float64, flag string, limit float64) {
		if value > limit {
			errs = append(errs, fmt.Errorf("models verify: the %s %.4f is above %s %g", what, value, flag, limit))
		}
	}
	lowest("agreement", r.Agreement, "--min-agreement", o.agreement)
	if o.top1 > 0 && !r.Detection {
		lowest("share of images with the same best class", r.Top1, "--min-top1", o.top1)
	}
	highest("largest difference of scores", r.MaxDifference, "--max-difference", o.difference)
	highest("mean difference of scores", r.Difference, "--max-mean-difference", o.meanDifference)
	switch {
	case r.Accuracy == nil && (o.accuracy > 0 || o.drop < 1):
		errs = append(errs, errors.New("models verify: there is no accuracy for --min-accuracy and --max-drop: no folder of images is named like a label"))
	case r.Accuracy != nil:
		lowest("accuracy", r.Accuracy.Accuracy, "--min-accuracy", o.accuracy)
		if r.Accuracy.Drop != nil {
			highest("drop of the accuracy", *r.Accuracy.Drop, "--max-drop", o.drop)
		} else if o.drop < 1 {
			errs = append(errs, errors.New("models verify: --max-drop needs --expect or --against"))
		}
	}
	return errors.Join(errs...)
}

// asItIs is no change of a definition.
func asItIs(*repository.Definition) {}

// definitionOf is a loaded version's definition, completed from the ONNX file.
func definitionOf(engine *inference.Engine, v chosenVersion) (repository.Definition, error) {
	loaded, err := engine.Variant(v.model, v.version(), asItIs)
	if err != nil {
		return repository.Definition{}, err
	}
	defer loaded.Close()
	return loaded.Definition(), nil
}

// openVersion returns the predictions of a loaded version with another definition. All classes of an image are asked for, since
// differences show in the scores of each.
func openVersion(engine *inference.Engine, images string, v chosenVersion, d repository.Definition) (verify.Predict, func(), error) {
	variant, err := engine.Variant(v.model, v.version(), func(to *repository.Definition) {
		*to = d
		if d.Task == repository.Classification {
			to.Output.TopK = repository.MaxTopK
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return predictFrom(images, variant), variant.Close, nil
}

// predictFrom predicts images of a folder.
func predictFrom(dir string, variant *inference.Variant) verify.Predict {
	return func(ctx context.Context, image string) (*verify.Answer, error) {
		data, err := os.ReadFile(filepath.Join(dir, image))
		if err != nil {
			return nil, err
		}
		prediction, err := variant.Predict(ctx, data)
		if err != nil {
			return nil, err
		}
		return inference.AnswerOf(prediction), nil
	}
}
