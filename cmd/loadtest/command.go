package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"fovea/internal/cli"
	"fovea/internal/config"
	"fovea/internal/exitcode"
	"fovea/internal/logging"
	"fovea/internal/terminal"
	"fovea/loadtest"
	"fovea/loadtest/report"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases.
var version = "dev"

func rootCommand() *cobra.Command {
	o := newOptions()
	root := &cobra.Command{
		Use:   "loadtest",
		Short: "Load-test an image server",
		Long: "Measure an image server's throughput and latency, and what the server and the GPUs do meanwhile.\n\n" +
			"Each level (a concurrency or a rate) runs until three consecutive windows agree in throughput and p99; its figures\n" +
			"are those of these windows. Exit status: 0; 1 if a threshold is missed; 2 if the test cannot run.",
		Example: "  loadtest --concurrency 1..32 --html report.html\n" +
			"  loadtest --rate 50,100 --arrivals poisson --json result.json\n" +
			"  loadtest --p99-below 50ms\n" +
			"  loadtest --protocol v2-grpc --input random --model yolox-nano\n" +
			"  loadtest --url http://127.0.0.1:9000/predict --template body.json.tmpl\n" +
			"  loadtest compare before.json after.json --max-loss 10",
		Args:          cobra.NoArgs,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(c *cobra.Command, _ []string) error {
			logging.SurviveSIGPIPE()
			if err := o.read(c.Flags()); err != nil {
				return err
			}
			return test(c.Context(), o, c.OutOrStdout(), c.ErrOrStderr())
		},
	}
	config.AddFlags(root.Flags(), o)
	root.AddCommand(compareCommand(), reportCommand())
	programOf(root).Add()
	return root
}

// programOf is what is said of all commands.
func programOf(root *cobra.Command) cli.Program {
	return cli.Program{Root: root, Environment: []cli.Variable{
		{Name: keyVariable, Meaning: "API key for the server, unless --url, --header or --api-key-file is given"},
		{Name: "NO_COLOR", Meaning: "if set, nothing is colored"},
	}, Statuses: []exitcode.Status{
		{Code: 0, Meaning: "success"},
		{Code: exitMissed, Meaning: "a threshold is missed"},
		{Code: exitFailed, Meaning: "the test cannot run or was interrupted, or wrong usage"},
	}}
}

// test runs a load test and writes its result. An interrupted test writes the result so far.
func test(ctx context.Context, o *options, stdout, stderr io.Writer) error {
	plan, err := loadtest.Prepare(ctx, o.Config)
	if err != nil {
		return err
	}
	onProgress := func(loadtest.Progress) {}
	if !o.Quiet {
		l, queue := line(stderr), logging.NewQueue(stderr) // the load does not wait for the reader
		defer queue.Close()
		l.W = queue
		onProgress = l.Update
	}
	result, err := plan.Run(ctx, onProgress)
	if err != nil && (result == nil || len(result.Levels) == 0) {
		return err
	}
	if !o.Outputs.toStdout() {
		err = errors.Join(err, show(stdout, result))
	}
	if err := errors.Join(err, o.Outputs.write(stdout, result)); err != nil {
		return err
	}
	return judge(o.Thresholds.Missed(result))
}

// line shows the progress, redrawn in place if w is a terminal.
func line(w io.Writer) report.Line {
	l := report.Line{W: w, Width: func() int { return 0 }}
	if terminal.Is(w) {
		l.Terminal, l.Width = true, func() int { return terminal.Width(w) }
	}
	return l
}

func show(w io.Writer, r *loadtest.Result) error {
	if _, err := fmt.Fprintf(w, "%s\n\n", report.Headline(r)); err != nil {
		return err
	}
	if err := report.Text(w, report.Tables(r)); err != nil {
		return err
	}
	if found := report.Found(r); found != "" {
		fmt.Fprintln(w, found)
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, "note:", note)
	}
	return nil
}

// judge turns missed thresholds into an error.
func judge(missed []string) error {
	if len(missed) == 0 {
		return nil
	}
	return fmt.Errorf("%w:\n  %s", errMissed, strings.Join(missed, "\n  "))
}
