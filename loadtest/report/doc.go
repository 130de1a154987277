// Package report shows results of load tests: as tables, CSV, a page with plots, and a line that tells the progress.
package report
