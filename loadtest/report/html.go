package report

import (
	_ "embed" // the page's parts
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
	"time"

	"fovea/loadtest"
)

var (
	//go:embed report.html.tmpl
	pageText string
	//go:embed report.css
	style string
	//go:embed report.js
	script string
	//go:embed echarts/echarts.common.min.js
	echarts string

	page = template.Must(template.New("report").Parse(pageText))
)

// section is the text about one result on the page.
type section struct {
	Label, Headline, Found, Started string
	Notes                           []string
	Tables                          []Table
}

// HTML writes a self-contained page: the tables and plots of one result, or of several results with a comparison.
func HTML(w io.Writer, results []*loadtest.Result) error {
	if len(results) == 0 {
		return errors.New("no results")
	}
	data := struct {
		Title           string
		Style           template.CSS
		ECharts, Script template.JS
		Comparison      *Table
		Differences     []string
		Sections        []section
		Results         []*loadtest.Result
		Labels          []string
	}{
		Title: "Load test", Style: template.CSS(style), //nolint:gosec // embedded, not user input
		ECharts: template.JS(echarts), Script: template.JS(script), //nolint:gosec // the same
		Results: results,
	}
	for i, r := range results {
		s := section{Label: Label(r, i), Headline: Headline(r), Found: Found(r), Started: fmt.Sprintf("%s, %.0f s", r.Started.UTC().Format(time.RFC3339), r.Seconds), Notes: r.Notes, Tables: Tables(r)}
		data.Labels = append(data.Labels, s.Label)
		data.Sections = append(data.Sections, s)
	}
	if len(results) > 1 {
		table, err := Compare(results)
		if err != nil {
			return err
		}
		data.Comparison, data.Differences = &table, Differences(results)
		data.Title = "Load tests: " + strings.Join(data.Labels, ", ")
	} else if results[0].Label != "" {
		data.Title = "Load test: " + results[0].Label
	}
	return page.Execute(w, data)
}
