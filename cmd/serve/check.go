package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fovea/inference"
	"fovea/internal/cli"
	"fovea/internal/repository"
	"fovea/internal/terminal"
	"fovea/postprocess"

	"github.com/spf13/cobra"
)

// checkOptions are the flags of models check.
type checkOptions struct {
	image, annotate string
	threshold       float64
	asJSON          bool

	params postprocess.Params
}

func checkCommand() *cobra.Command {
	o := &checkOptions{}
	var c *cobra.Command
	c = modelsSubcommand("check NAME…", "Load models, run their self-tests, and print their inputs, outputs and device; or what they see in an image",
		cobra.ArbitraryArgs, func(ctx context.Context, cfg Config, names []string, out io.Writer) error {
			if c.Flags().Changed("score-threshold") {
				o.params.Score = &o.threshold
			}
			if err := o.validate(names); err != nil {
				return fmt.Errorf("models check: %w", err)
			}
			return o.check(ctx, cfg, names, out)
		})
	c.ValidArgsFunction = completeModels
	c.Long = "Load models as the server would, run their self-tests, and print their inputs, outputs and device.\n" +
		"NAME is a model of the repository, or the path of an ONNX file or of a model's folder."
	c.Example = "  serve models check yolo\n  serve models check best.onnx --image bus.jpg --annotate seen.png"
	c.Flags().StringVar(&o.image, "image", "", "print what the models see in this image")
	c.Flags().StringVar(&o.annotate, "annotate", "", "write the image with boxes and labels to this PNG file")
	c.Flags().Float64Var(&o.threshold, "score-threshold", 0, "minimum score of a box, instead of the definition's")
	c.Flags().BoolVar(&o.asJSON, "json", false, "print JSON")
	cli.Files(c, "annotate", "png")
	return c
}

func (o *checkOptions) validate(names []string) error {
	switch {
	case len(names) == 0:
		return errors.New("name the models")
	case o.image == "" && (o.annotate != "" || o.params.Score != nil):
		return errors.New("--annotate and --score-threshold need --image")
	case o.annotate != "" && len(names) > 1:
		return errors.New("--annotate needs a single model")
	case o.annotate != "" && !strings.EqualFold(filepath.Ext(o.annotate), ".png"):
		return fmt.Errorf("--annotate: %s does not end in .png, the only format that is written", o.annotate)
	case o.threshold < 0 || o.threshold > 1:
		return errors.New("--score-threshold must be a number from 0 to 1")
	}
	return nil
}

// checkModels loads the models as the server would, each of them required.
func checkModels(ctx context.Context, cfg Config, names []string, out io.Writer) error {
	return (&checkOptions{}).check(ctx, cfg, names, out)
}

// checked is what models check prints of a model as JSON.
type checked struct {
	Model      string                 `json:"model"`
	Version    string                 `json:"version"`
	State      string                 `json:"state"`
	Error      string                 `json:"error,omitempty"`
	Device     string                 `json:"device"`
	Task       repository.Task        `json:"task"`
	Definition string                 `json:"definition"`
	Warnings   []string               `json:"warnings"`
	Prediction postprocess.Prediction `json:"prediction,omitempty"`
}

func (o *checkOptions) check(ctx context.Context, cfg Config, names []string, out io.Writer) error {
	var data []byte
	if o.image != "" {
		var err error
		if data, err = os.ReadFile(o.image); err != nil {
			return err
		}
	}
	repo := openRepository(cfg.Repository.Dir)
	models, err := modelsNamed(repo, names)
	if err != nil {
		return err
	}
	asked := func(name string) bool {
		return slices.ContainsFunc(models, func(m inference.ModelConfig) bool { return m.Name == name })
	}
	return withModels(ctx, cfg, repo, withSteps(repo, models), func(engine *inference.Engine, loadErr error) error {
		results := []checked{}
		for _, m := range engine.Models() {
			result := checked{Model: m.Name, Version: m.Version, State: m.State.String(), Error: m.Error, Device: m.Device, Task: m.Task,
				Definition: origin(m.Inferred), Warnings: append([]string{}, m.Warnings...)}
			if !o.asJSON {
				printModel(out, m)
			}
			if data != nil && m.State == inference.Ready && asked(m.Name) {
				response, err := engine.Predict(ctx, inference.Request{Model: m.Name, Version: m.Version, Image: data, Params: o.params})
				if err != nil {
					return fmt.Errorf("%s: %w", o.image, err)
				}
				if result.Prediction = response.Prediction; !o.asJSON {
					printPrediction(out, response.Prediction)
				}
			}
			results = append(results, result)
		}
		if o.asJSON {
			loadErr = errors.Join(loadErr, cli.JSON(out, results))
		}
		if seen := slices.IndexFunc(results, func(c checked) bool { return c.Prediction != nil }); o.annotate != "" && seen >= 0 {
			loadErr = errors.Join(loadErr, annotateFile(ctx, engine, data, results[seen].Prediction, o.annotate))
		}
		return loadErr
	})
}

// modelsNamed are the models of those names, or at those paths.
func modelsNamed(repo *repository.Repository, names []string) (models []inference.ModelConfig, err error) {
	for _, name := range names {
		if !isPath(name) {
			err := isThere(repo, name)
			if err == nil {
				models = append(models, inference.ModelConfig{Name: name, Required: true})
				continue
			}
			if !isFileHere(name) {
				return nil, err
			}
		}
		added, err := addPaths(repo, []string{name})
		if err != nil {
			return nil, err
		}
		models = append(models, added...)
	}
	return models, nil
}

// withSteps adds the models that the steps of pipelines use.
func withSteps(repo *repository.Repository, models []inference.ModelConfig) []inference.ModelConfig {
	models = slices.Clone(models)
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = m.Name
	}
	for _, name := range repo.WithSteps(names)[len(names):] {
		models = append(models, inference.ModelConfig{Name: name})
	}
	return models
}

// isThere reports a name that is nothing in the repository. What is wrong with a model is found when it is loaded.
func isThere(repo *repository.Repository, name string) error {
	if !repository.ValidName(name) {
		return fmt.Errorf("%.140q is not a model name: at most 128 letters, digits and . _ -", name)
	}
	if _, err := os.Lstat(filepath.Join(repo.Dir(), name)); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := os.Stat(repo.Dir()); err != nil {
		return fmt.Errorf("repository.dir: %w", err)
	}
	if slices.Contains(repository.Shipped(), name) {
		return fmt.Errorf("the weights of %s are not in %s: serve models pull %s", name, repo.Dir(), name)
	}
	names, _ := repo.Names() // what is wrong with others is not asked
	if len(names) == 0 {
		return fmt.Errorf("there is no model %s: %s has none", name, repo.Dir())
	}
	return fmt.Errorf("there is no model %s: %s has %s", name, repo.Dir(), strings.Join(names, ", "))
}

// withModels loads models and calls do with the engine and what failed.
func withModels(ctx context.Context, cfg Config, repo *repository.Repository, models []inference.ModelConfig, do func(*inference.Engine, error) error) error {
	cfg.Inference.Models, cfg.Inference.Default, cfg.Inference.MemoryBudget = models, "", 0
	engine, err := inference.New(cfg.Inference, repo, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	err = do(engine, engine.Sync(ctx))
	engine.Terminate() // loads that are still running
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	return errors.Join(err, engine.Close(closing))
}

// closeTimeout is how long a check waits for terminated loads, and a server that cannot listen for its engine. An engine waits 2 s
// for parallel sessions, whose creation a busy machine delays.
const closeTimeout = 10 * time.Second

// maxPrinted is how many classes or boxes are printed.
const maxPrinted = 20

// printPrediction prints classes or boxes, best first.
func printPrediction(out io.Writer, p postprocess.Prediction) {
	switch p := p.(type) {
	case *postprocess.Classified:
		for _, c := range p.Top[:min(len(p.Top), maxPrinted)] {
			_, _ = fmt.Fprintf(out, "  sees     %.4f  %s\n", c.Score, label(c.Label, c.Class))
		}
	case postprocess.Objects:
		width, height := p.Size()
		_, _ = fmt.Fprintf(out, "  image    %d × %d pixels, %s\n", width, height, counted(p.Len(), "box", "boxes"))
		for i := range p.Len() {
			if i == maxPrinted {
				_, _ = fmt.Fprintf(out, "  sees     … and %d more; --json prints all\n", p.Len()-i)
				break
			}
			b := p.Box(i)
			_, _ = fmt.Fprintf(out, "  sees     %.4f  %s  x %.0f to %.0f, y %.0f to %.0f\n", b.Score, label(b.Label, b.Class), b.X1, b.X2, b.Y1, b.Y2)
		}
	case *postprocess.Piped:
		printPiped(out, p)
	default:
		printMap(out, p)
	}
}

// counted is a number of things.
func counted(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// label is a class's label, or its number without one.
func label(text string, class int) string {
	if text == "" {
		return fmt.Sprintf("class %d", class)
	}
	return text
}

func printModel(out io.Writer, m inference.Status) {
	if m.Version == "" {
		_, _ = fmt.Fprintf(out, "%s: %s\n", m.Name, m.State)
		return
	}
	style := terminal.Red
	if m.State == inference.Ready {
		style = terminal.Green
	}
	_, _ = fmt.Fprintf(out, "%s version %s: %s\n", m.Name, m.Version, terminal.PaintOf(out).In(style, m.State.String()))
	if m.State != inference.Ready {
		return
	}
	if m.Task == repository.Pipeline {
		printPipeline(out, m)
		return
	}
	_, _ = fmt.Fprintf(out, "  device   %s\n  task     %s, %s\n", m.Device, m.Task, counted(len(m.Labels), "label", "labels"))
	if m.Inferred != nil {
		_, _ = fmt.Fprintf(out, "  defined  %s\n", origin(m.Inferred))
		printAssumptions(out, m.Inferred)
	}
	if m.PartlyCPU {
		_, _ = fmt.Fprintln(out, "  note     some operators run on the CPU: ONNX Runtime has no CUDA kernels for them")
	}
	if m.SaturatingInt8 {
		_, _ = fmt.Fprintln(out, "  note     int8 sums may saturate at 16 bits on this CPU and give wrong results: see inference.saturating_int8")
	}
	for _, w := range m.Warnings {
		_, _ = fmt.Fprintf(out, "  warning  %s\n", w)
	}
	for _, t := range m.Inputs {
		_, _ = fmt.Fprintf(out, "  input    %s %s %v\n", t.Name, t.DType, t.Shape)
	}
	if m.Input.Normalize == repository.NormalizeGraph {
		_, _ = fmt.Fprintf(out, "  pixels   %s takes them, and the graph normalizes them to %s (input.normalize)\n", m.Input.Name, m.Input.DType)
	}
	for _, t := range m.Outputs {
		_, _ = fmt.Fprintf(out, "  output   %s %s %v\n", t.Name, t.DType, t.Shape)
	}
	_, _ = fmt.Fprintf(out, "  batch    up to %d\n  queue    up to %d\n", m.MaxBatch, m.MaxQueue)
}

func printAssumptions(out io.Writer, inferred *repository.Inferred) {
	for _, o := range inferred.Assumptions() {
		_, _ = fmt.Fprintf(out, "  assumed  %s: %s (%s)\n", o.Key, o.Value, o.From)
	}
}
