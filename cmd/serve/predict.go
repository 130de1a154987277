package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"fovea/internal/bulk"
	"fovea/internal/cli"
	"fovea/internal/exitcode"
	"fovea/internal/repository"
	"fovea/internal/terminal"
	"fovea/postprocess"

	"github.com/spf13/cobra"
)

// maxParallel is the largest value of --parallel.
const maxParallel = 1024

const predictHelp = `Predict images with a model, and print what it sees: a table, or with --json, --jsonl or --csv for programs.

MODEL is a model of the repository, with its newest served version or NAME/VERSION, or the path of an ONNX file or of a
model's folder; it is loaded by this command, as a server would. With --server it is the name of a model that the server has.

Each IMAGE is a file, a folder with images at any depth, or - for an image on standard input. Files that begin with a dot are
left out of folders.

Images that have no prediction are listed at the end, and the others are predicted. Exit status: 0 if every image has a
prediction; 65 if some have none; 130 if a signal ended the command; otherwise 1, or 78 if the configuration or the model's
definition is wrong. After a signal the output holds whole lines, and the images that are missing can be predicted with
--resume.`

// predictOptions are the flags of predict.
type predictOptions struct {
	server, key, keyFile, caFile string
	timeout                      time.Duration
	json, jsonl, csv             bool
	output                       string
	resume                       bool
	annotate, crop               string
	filesFrom                    string
	parallel                     int
	quiet                        bool

	topK, maxBoxes int
	score, iou     float64
	classes        []string
	encoding       string

	cfg    Config
	query  url.Values         // the parameters, for a server
	params postprocess.Params // the same, for an engine
	in     io.Reader
	out    io.Writer
	notes  io.Writer // standard error
}

func predictCommand() *cobra.Command {
	o := &predictOptions{}
	c := &cobra.Command{
		Use:   "predict MODEL IMAGE…",
		Short: "Predict images and folders of images, without a server or with one",
		Long:  predictHelp,
		Example: "  serve predict efficientnet-lite0 cat.jpg\n  serve predict best.onnx photos --annotate seen\n" +
			"  serve predict yolo photos --jsonl -o seen.jsonl --resume\n" +
			"  serve predict yolo photos --csv --server https://vision.example --key-file key.txt",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeModelThenFiles,
		RunE: func(c *cobra.Command, args []string) (err error) {
			if o.cfg, err = configured(c); err != nil {
				return err
			}
			o.in, o.out, o.notes = c.InOrStdin(), c.OutOrStdout(), c.ErrOrStderr()
			ctx, stop := cli.WithSignals(c.Context())
			defer stop()
			if err := errors.Join(o.checkOutputs(c.Flags().Changed), o.checkParameters(c.Flags().Changed)); err != nil {
				return fmt.Errorf("predict: %w", err)
			}
			if err := o.run(ctx, args[0], args[1:]); err != nil {
				return fmt.Errorf("predict: %w", err)
			}
			return nil
		},
	}
	o.flags(c)
	return c
}

func (o *predictOptions) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVar(&o.json, "json", false, "print a JSON array with an object for each image")
	f.BoolVar(&o.jsonl, "jsonl", false, "print a line of JSON for each image")
	f.BoolVar(&o.csv, "csv", false, "print CSV with a line for each class, box or the like")
	f.StringVarP(&o.output, "output", "o", "", "write to this file; without --json, --jsonl or --csv its ending tells which")
	f.BoolVar(&o.resume, "resume", false, "continue the JSON lines in the file of --output: images with a prediction there are left out")
	f.StringVar(&o.annotate, "annotate", "", "write the images with their predictions drawn on them to this folder, as JPEG or PNG")
	f.StringVar(&o.crop, "crop", "", "write what is in each box to this folder: LABEL/IMAGE-N, as JPEG or PNG")
	f.StringVar(&o.filesFrom, "files-from", "", "file with more names of files and folders, one a line or separated by zero bytes; -: standard input")
	f.IntVar(&o.parallel, "parallel", 0, "images predicted at the same time [1–1024]; 0: what keeps the model busy, with --server 8")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "show neither progress nor a summary; errors are shown")
	f.StringVar(&o.server, "server", "", "URL of a server to predict with, instead of loading the model")
	f.StringVar(&o.key, "key", "", "API key for the server; other users see it in the list of processes, so better "+keyVariable+" or --key-file")
	f.StringVar(&o.keyFile, "key-file", "", "file with the API key for the server; default: the environment variable "+keyVariable)
	f.StringVar(&o.caFile, "ca-file", "", "PEM file with the certificate authorities of the server's certificate; empty: the system's")
	f.DurationVar(&o.timeout, "timeout", time.Minute, "time limit of a request to the server")
	f.IntVar(&o.topK, "top-k", 0, "number of classes [1–1000]; default: the definition's")
	f.Float64Var(&o.score, "score-threshold", 0, "minimum score of a box [0–1]; default: the definition's")
	f.Float64Var(&o.iou, "iou-threshold", 0, "IoU from which a box suppresses another [0–1]; default: the definition's")
	f.IntVar(&o.maxBoxes, "max-boxes", 0, "maximum number of boxes [1–1000]; default: the definition's")
	f.StringSliceVar(&o.classes, "classes", nil, "labels or numbers of the classes to find; default: all")
	f.StringVar(&o.encoding, "encoding", "", "encoding of masks, maps, vectors and images ["+strings.Join(postprocess.Encodings(), "|")+"]; default: the task's first")
	cli.Words(c, "encoding", postprocess.Encodings()...)
	cli.Folders(c, "annotate", "crop")
}

// checkOutputs checks the flags of the output and of the server, and chooses the format. given tells which flags there are.
func (o *predictOptions) checkOutputs(given func(string) bool) error {
	errs := []error{o.chooseFormat()}
	for _, f := range []struct{ flag, value string }{{"output", o.output}, {"annotate", o.annotate}, {"crop", o.crop}, {"files-from", o.filesFrom},
		{"server", o.server}, {"key", o.key}, {"key-file", o.keyFile}, {"ca-file", o.caFile}} {
		if f.value == "" && given(f.flag) { // of a variable that is not set
			errs = append(errs, fmt.Errorf("--%s: the value is empty", f.flag))
		}
	}
	if o.resume && (o.output == "" || !o.jsonl) {
		errs = append(errs, errors.New("--resume: needs --jsonl and --output FILE, which tell what is done"))
	}
	if o.parallel < 0 || o.parallel > maxParallel {
		errs = append(errs, fmt.Errorf("--parallel: %d is out of range (0–%d)", o.parallel, maxParallel))
	}
	if o.timeout <= 0 {
		errs = append(errs, fmt.Errorf("--timeout: %s is not more than 0", o.timeout))
	}
	if o.server == "" && (o.key != "" || o.keyFile != "" || o.caFile != "") {
		errs = append(errs, errors.New("--key, --key-file and --ca-file need --server"))
	}
	if o.key != "" && o.keyFile != "" {
		errs = append(errs, errors.New("--key-file: give either this or --key"))
	}
	return errors.Join(errs...)
}

// checkParameters makes the parameters of the flags that were given.
func (o *predictOptions) checkParameters(given func(string) bool) error {
	o.query = url.Values{}
	var errs []error
	whole := func(flag string, value, limit int, to *int) {
		if !given(flag) {
			return
		}
		if value < 1 || value > limit {
			errs = append(errs, fmt.Errorf("--%s: %d is out of range (1–%d)", flag, value, limit))
		}
		*to = value
		o.query.Set(strings.ReplaceAll(flag, "-", "_"), strconv.Itoa(value))
	}
	unit := func(flag string, value float64, to **float64) {
		if !given(flag) {
			return
		}
		if !(value >= 0 && value <= 1) {
			errs = append(errs, fmt.Errorf("--%s: %v is out of range (0–1)", flag, value))
		}
		*to = &value
		o.query.Set(strings.ReplaceAll(flag, "-", "_"), strconv.FormatFloat(value, 'g', -1, 64))
	}
	whole("top-k", o.topK, repository.MaxTopK, &o.params.TopK)
	whole("max-boxes", o.maxBoxes, postprocess.MaxBoxes, &o.params.MaxBoxes)
	unit("score-threshold", o.score, &o.params.Score)
	unit("iou-threshold", o.iou, &o.params.IoU)
	if o.params.Classes = o.classes; len(o.classes) > 0 {
		o.query["classes"] = o.classes
	}
	if o.params.Encoding = o.encoding; o.encoding != "" {
		o.query.Set("encoding", o.encoding)
	}
	return errors.Join(errs...)
}

// run finds the images, opens the model or the server, and predicts.
func (o *predictOptions) run(ctx context.Context, model string, paths []string) error {
	inputs, err := o.find(ctx, paths)
	if err != nil {
		return err
	}
	if err := o.makeFolders(inputs); err != nil {
		return err
	}
	progress := terminal.NewProgress(io.Discard, len(inputs), "images")
	if !o.quiet {
		progress = terminal.NewProgress(o.notes, len(inputs), "images")
	}
	if o.server != "" {
		return o.remote(ctx, model, inputs, progress)
	}
	return o.local(ctx, model, inputs, progress)
}

// predictAll predicts the images with a model or a server, and says what failed.
func (o *predictOptions) predictAll(ctx context.Context, p bulk.Predictor, inputs []bulk.Input, model, version string, progress *terminal.Progress) error {
	left := inputs
	var sink bulk.Sink
	var file *os.File
	var err error
	if o.resume {
		var before bulk.Before
		if file, before, err = bulk.Resume(o.output); err != nil {
			return err
		}
		if n := before.Model; n != "" && (n != model || version != "" && before.Version != version) {
			return errors.Join(fmt.Errorf("--resume: %s has predictions of %s version %s; write those of %s to another file", o.output, n, before.Version, model), file.Close())
		}
		left, sink = before.Rest(inputs), bulk.NewJSONLines(file)
		progress.Skip(len(inputs) - len(left))
	} else if sink, file, err = o.open(inputs); err != nil {
		return err
	}
	summary, ended := bulk.Run(ctx, p, left, bulk.Options{Parallel: o.parallel, MaxBytes: int64(o.cfg.HTTP.MaxImageBytes), Annotate: o.annotate, Crop: o.crop,
		Sink: sink, Progress: progress, Shared: file == nil && terminal.Is(o.out)})
	err = sink.Close()
	if file != nil {
		err = errors.Join(err, file.Close())
	}
	if ctx.Err() != nil && ended != nil {
		ended = ctx.Err()
	}
	return errors.Join(o.result(summary, len(inputs)-len(left), ended), err)
}

// result prints a summary, and turns what failed into an error.
func (o *predictOptions) result(s bulk.Summary, skipped int, ended error) error {
	if ended == nil && !o.quiet && s.Total+skipped > 1 {
		text := fmt.Sprintf("%s images in %s", terminal.Count(s.Total), s.Elapsed.Round(time.Millisecond))
		if s.Elapsed > 0 {
			text += " (" + terminal.Rate(float64(s.Total)/s.Elapsed.Seconds()) + ")"
		}
		if skipped > 0 {
			text += fmt.Sprintf("; %s were done before", terminal.Count(skipped))
		}
		if o.annotate != "" {
			text += "; annotated images are in " + terminal.Clean(o.annotate)
		}
		if o.crop != "" {
			text += "; crops are in " + terminal.Clean(o.crop)
		}
		_, _ = fmt.Fprintln(o.notes, text)
	}
	var errs []error
	if len(s.Failed) > 0 {
		lines := []string{fmt.Sprintf("%s of %s images have no prediction:", terminal.Count(len(s.Failed)), terminal.Count(s.Total))}
		for _, f := range s.Failed {
			lines = append(lines, "  "+f.String())
		}
		errs = append(errs, exitcode.ForData(errors.New(strings.Join(lines, "\n"))))
	}
	if ended == nil {
		return errors.Join(errs...)
	}
	done := fmt.Sprintf("%s of %s images", terminal.Count(s.Done), terminal.Count(s.Total))
	if errors.Is(ended, context.Canceled) {
		ended = fmt.Errorf("interrupted after %s%w", done, quietly{ended})
	} else {
		ended = fmt.Errorf("ended after %s: %w", done, ended)
	}
	if len(errs) > 0 { // its own status counts, not that of some images
		ended = fmt.Errorf("%w\n%s", ended, errs[0].Error())
	}
	return ended
}

// quietly is an error that is found by errors.Is and not shown.
type quietly struct{ error }

func (quietly) Error() string   { return "" }
func (q quietly) Unwrap() error { return q.error }
