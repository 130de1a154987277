//go:build cluster

package helm

import (
	"cmp"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// row is a line of the report: what happened to the cluster, what was wanted, and what was measured.
type row struct {
	event, wanted string
	begin         time.Time
	requests      string // empty without a load
	failed        string
	figures       []string
	done, broken  bool
}

// report is what the tests print at their end.
var report struct {
	sync.Mutex
	start time.Time
	rows  []*row
}

// event begins a row, which is broken if its test fails.
func event(t *testing.T, name, wanted string) *row {
	t.Helper()
	r := &row{event: name, wanted: wanted, begin: time.Now()}
	report.Lock()
	report.rows = append(report.rows, r)
	report.Unlock()
	t.Cleanup(func() {
		report.Lock()
		defer report.Unlock()
		r.done, r.broken = !t.Skipped(), t.Failed()
		fmt.Printf("%4.0f s  %-70s %s\n", time.Since(report.start).Seconds(), r.event, r.verdict())
	})
	return r
}

// figure adds what was measured.
func (r *row) figure(format string, args ...any) {
	report.Lock()
	defer report.Unlock()
	r.figures = append(r.figures, fmt.Sprintf(format, args...))
}

func (r *row) verdict() string {
	switch {
	case r.broken:
		return "BROKEN"
	case r.done:
		return "kept"
	}
	return "not run"
}

// TestMain prints the report, as a table in Markdown.
func TestMain(m *testing.M) {
	report.start = time.Now()
	status := m.Run()
	if len(report.rows) > 0 {
		fmt.Println("\n| event | wanted | requests | failed | measured | |\n|---|---|---|---|---|---|")
		for _, r := range report.rows {
			fmt.Printf("| %s | %s | %s | %s | %s | %s |\n", r.event, r.wanted, cmp.Or(r.requests, "–"), cmp.Or(r.failed, "–"), strings.Join(r.figures, "; "), r.verdict())
		}
		fmt.Printf("\nall events: %.0f s\n", time.Since(report.start).Seconds())
	}
	os.Exit(status)
}
