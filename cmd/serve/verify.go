package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"fovea/inference"
	"fovea/internal/repository"
	"fovea/internal/verify"
	"fovea/postprocess"

	"github.com/spf13/cobra"
)

// verifyOptions are the flags of models verify.
type verifyOptions struct {
	images, expect, annotations string
	tolerance                   verify.Tolerance
	agreement                   float64
	limit, try                  int
	always, json                bool
}

const verifyHelp = `Predict the images in a folder as the server would, and compare with what the exporter's own program predicted.
NAME is a model of the repository, or the path of an ONNX file or of a model's folder.

--expect is a file, or a folder with a file per image. Its format is recognized by its content: Ultralytics' text files
(yolo predict save_txt=True save_conf=True) or JSON (results.to_json(), predictions.json of yolo val save_json=True), COCO
results, a CSV of classes (file,label,score), or responses of /predict. If they disagree, alternatives to the definition's
settings are tried, one at a time and the best with a second, and the likely wrong key is named.

Exit status: 0 if the agreement is at least --min-agreement, else 1.`

func verifyCommand() *cobra.Command {
	o := verifyOptions{tolerance: verify.Tolerance{IoU: 0.5, Score: 0.1}, agreement: 0.95, try: 12}
	c := modelsSubcommand("verify NAME", "Compare a model's predictions with those of its exporter, and find the wrong key", cobra.ExactArgs(1),
		func(ctx context.Context, cfg Config, names []string, out io.Writer) error {
			return verifyModel(ctx, cfg, names[0], o, out)
		})
	c.Long = verifyHelp
	f := c.Flags()
	f.StringVar(&o.images, "images", "", "folder with images (required)")
	f.StringVar(&o.expect, "expect", "", "file or folder with the expected predictions (required)")
	f.StringVar(&o.annotations, "annotations", "", "COCO annotation file that names the images and categories of COCO results")
	f.Float64Var(&o.tolerance.IoU, "iou", o.tolerance.IoU, "lowest IoU of boxes that agree (0–1)")
	f.Float64Var(&o.tolerance.Score, "score", o.tolerance.Score, "largest difference of scores that agree (0–1)")
	f.Float64Var(&o.agreement, "min-agreement", o.agreement, "lowest agreement for exit status 0 (0–1)")
	f.IntVar(&o.limit, "limit", 0, "compare this many images; 0: all")
	f.IntVar(&o.try, "try", o.try, "images that alternatives are tried with")
	f.BoolVar(&o.always, "alternatives", false, "try alternatives even if the predictions agree")
	f.BoolVar(&o.json, "json", false, "print JSON")
	return c
}

func (o *verifyOptions) check() error {
	var errs []error
	if o.images == "" {
		errs = append(errs, errors.New("--images: is required: a folder with images"))
	}
	if o.expect == "" {
		errs = append(errs, errors.New("--expect: is required: a file or folder with the expected predictions"))
	}
	for _, f := range []struct {
		flag  string
		value float64
	}{{"--iou", o.tolerance.IoU}, {"--score", o.tolerance.Score}, {"--min-agreement", o.agreement}} {
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

// verifyModel loads a model as the server would and compares its predictions.
func verifyModel(ctx context.Context, cfg Config, name string, o verifyOptions, out io.Writer) error {
	if err := o.check(); err != nil {
		return err
	}
	expected, err := verify.Load(o.expect, o.annotations)
	if err != nil {
		return fmt.Errorf("--expect: %w", err)
	}
	images, err := verify.Images(o.images)
	if err != nil {
		return fmt.Errorf("--images: %w", err)
	}
	cfg.Inference.ThreadsAlone = 1 // no second session: images are predicted at the same time
	repo := openRepository(cfg.Repository.Dir)
	models, err := modelsNamed(repo, []string{name})
	if err != nil {
		return err
	}
	return withModels(ctx, cfg, repo, models, func(engine *inference.Engine, failed error) error {
		if failed != nil {
			return failed
		}
		return o.run(ctx, engine, models[0].Name, expected, images, out)
	})
}

func (o *verifyOptions) run(ctx context.Context, engine *inference.Engine, name string, expected *verify.Expected, images []string, out io.Writer) error {
	loaded, err := engine.Variant(name, func(*repository.Definition) {})
	if err != nil {
		return err
	}
	definition := loaded.Definition()
	loaded.Close()
	report, err := verify.Run(ctx, verify.Options{Definition: definition, Images: images, Expected: expected, Tolerance: o.tolerance,
		MinAgreement: o.agreement, Always: o.always, Try: o.try, Limit: o.limit, Workers: runtime.GOMAXPROCS(0),
		Open: func(d repository.Definition) (verify.Predict, func(), error) { return o.open(engine, name, d) }})
	if err != nil {
		return err
	}
	if o.json {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(report)
	} else {
		report.Print(out, name, o.tolerance)
	}
	if err == nil && report.Agreement < o.agreement {
		err = fmt.Errorf("models verify: the agreement %.4f is below --min-agreement %g", report.Agreement, o.agreement)
	}
	return err
}

// open returns the predictions of the loaded model with another definition. All classes of an image are asked for, since
// differences show in the scores of each.
func (o *verifyOptions) open(engine *inference.Engine, name string, d repository.Definition) (verify.Predict, func(), error) {
	variant, err := engine.Variant(name, func(to *repository.Definition) {
		*to = d
		if d.Task == repository.Classification {
			to.Output.TopK = repository.MaxTopK
		}
	})
	if err != nil {
		return nil, nil, err
	}
	return func(ctx context.Context, image string) (*verify.Answer, error) {
		data, err := os.ReadFile(filepath.Join(o.images, image))
		if err != nil {
			return nil, err
		}
		prediction, err := variant.Predict(ctx, data)
		if err != nil {
			return nil, err
		}
		return answer(prediction), nil
	}, variant.Close, nil
}

func answer(p postprocess.Prediction) *verify.Answer {
	a := &verify.Answer{}
	class := func(number int, label string, score float64) verify.Class {
		return verify.Class{Number: number, Label: label, Score: score}
	}
	switch p := p.(type) {
	case *postprocess.Classified:
		for _, c := range p.Top {
			a.Classes = append(a.Classes, class(c.Class, c.Label, c.Score))
		}
	case *postprocess.Detected:
		a.Width, a.Height = p.Width, p.Height
		for _, b := range p.Boxes {
			a.Boxes = append(a.Boxes, verify.Box{Class: class(b.Class, b.Label, b.Score), X1: b.X1, Y1: b.Y1, X2: b.X2, Y2: b.Y2})
		}
	}
	return a
}
