package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"fovea/internal/cli"
	"fovea/internal/config"
	"fovea/loadtest"
	"fovea/loadtest/report"

	"github.com/spf13/cobra"
)

func compareCommand() *cobra.Command {
	var html, asJSON string
	var loss float64
	c := &cobra.Command{
		Use:   "compare FIRST.json OTHER.json…",
		Short: "Compare results of load tests with the first",
		Args:  cobra.MinimumNArgs(2),
		RunE: func(c *cobra.Command, files []string) error {
			var errs config.Errors
			config.Range(&errs, "max-loss", loss, 0, 1000)
			if err := errs.Err(); err != nil {
				return err
			}
			results, err := readResults(files)
			if err != nil {
				return err
			}
			table, err := report.Compare(results)
			if err != nil {
				return err
			}
			if asJSON != standardOutput {
				if err := showComparison(c.OutOrStdout(), table, results); err != nil {
					return err
				}
			}
			if err := toFile(c.OutOrStdout(), asJSON, func(w io.Writer) error { return cli.JSON(w, report.Comparison(results)) }); err != nil {
				return err
			}
			if err := toFile(c.OutOrStdout(), html, func(w io.Writer) error { return report.HTML(w, results) }); err != nil {
				return err
			}
			if !c.Flags().Changed("max-loss") {
				return nil
			}
			return judge(report.Worse(results, loss/100))
		},
	}
	c.Flags().StringVar(&html, "html", "", "write an HTML page with all plots to this file")
	c.Flags().StringVar(&asJSON, "json", "", "write the comparison to this file; -: to standard output, instead of the table")
	c.Flags().Float64Var(&loss, "max-loss", 0, "exit 1 if a result lacks a level of the first, or its throughput, p99 or failure rate is worse by more than this percentage")
	return c
}

func showComparison(w io.Writer, table report.Table, results []*loadtest.Result) error {
	if err := report.Text(w, []report.Table{table}); err != nil {
		return err
	}
	for _, difference := range report.Differences(results) {
		fmt.Fprintln(w, "note:", difference)
	}
	return nil
}

func reportCommand() *cobra.Command {
	var o outputs
	c := &cobra.Command{
		Use:   "report RESULT.json",
		Short: "Render a result of a load test as tables, CSV or an HTML page",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, files []string) error {
			results, err := readResults(files)
			if err != nil {
				return err
			}
			if !o.toStdout() {
				if err := show(c.OutOrStdout(), results[0]); err != nil {
					return err
				}
			}
			return o.write(c.OutOrStdout(), results[0])
		},
	}
	c.Flags().StringVar(&o.CSV, "csv", "", "write one line per level to this file; -: standard output")
	c.Flags().StringVar(&o.HTML, "html", "", "write an HTML page with plots to this file")
	c.Flags().StringVar(&o.JSON, "json", "", "write the result to this file; -: standard output")
	return c
}

// readResults reads result files; a result without a label is named after its file.
func readResults(files []string) ([]*loadtest.Result, error) {
	var results []*loadtest.Result
	var errs []error
	for _, name := range files {
		r, err := readResult(name)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
			continue
		}
		if r.Label == "" && len(files) > 1 {
			r.Label = strings.TrimSuffix(filepath.Base(name), filepath.Ext(name))
		}
		results = append(results, r)
	}
	return results, errors.Join(errs...)
}

func readResult(name string) (*loadtest.Result, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return loadtest.Read(file)
}
