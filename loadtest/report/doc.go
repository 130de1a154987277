// Package report renders results of load tests: as tables, CSV, an HTML page with plots, and a progress line.
package report
