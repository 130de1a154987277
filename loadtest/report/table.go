package report

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"fovea/loadtest"
)

// Table is one table of a report.
type Table struct {
	Title string
	Head  []string
	Rows  [][]string
}

const none = "–"

// Tables returns the tables of a result.
func Tables(r *loadtest.Result) []Table {
	var tables []Table
	for _, t := range []Table{levels(r), serverStages(r), gpus(r), failures(r)} {
		if len(t.Rows) > 0 {
			tables = append(tables, t)
		}
	}
	return tables
}

// Text writes tables for a terminal: the first column left-aligned, the others right-aligned.
func Text(w io.Writer, tables []Table) error {
	var b strings.Builder
	for _, t := range tables {
		rows := append([][]string{t.Head}, t.Rows...)
		widths := make([]int, len(t.Head))
		for _, row := range rows {
			for i, cell := range row {
				widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			}
		}
		fmt.Fprintln(&b, t.Title)
		for _, row := range rows {
			fmt.Fprintf(&b, "%-*s", widths[0], row[0])
			for i, cell := range row[1:] {
				fmt.Fprintf(&b, "  %*s", widths[i+1], cell)
			}
			b.WriteByte('\n')
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func levels(r *loadtest.Result) Table {
	t := Table{Title: "Latency in ms", Head: []string{"level", "images/s", "mean", "p50", "p90", "p99", "p99.9", "max", "failed", "stable"}}
	open := slices.ContainsFunc(r.Levels, func(l loadtest.Level) bool { return l.Rate > 0 })
	if open {
		t.Head = append(t.Head, "lag p99")
	}
	for _, l := range r.Levels {
		row := []string{
			Name(l), number(l.Throughput), number(l.Latency.MeanMS), number(l.Latency.P50MS), number(l.Latency.P90MS),
			number(l.Latency.P99MS), number(l.Latency.P999MS), number(l.Latency.MaxMS), failed(l), stable(l),
		}
		switch {
		case l.Rate > 0:
			row = append(row, number(l.LagP99MS))
		case open:
			row = append(row, none)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// Name returns a level's name, with its outcome in the search.
func Name(l loadtest.Level) string {
	switch {
	case l.Passed == nil:
		return l.Name()
	case *l.Passed:
		return l.Name() + " passed"
	}
	return l.Name() + " too fast"
}

func failed(l loadtest.Level) string {
	if l.AllFailed() == 0 {
		return "0"
	}
	return fmt.Sprintf("%d (%.3g %%)", l.AllFailed(), 100*l.ErrorRate())
}

func stable(l loadtest.Level) string {
	if l.Stable {
		return fmt.Sprintf("after %d windows", len(l.Windows))
	}
	return "NO: " + l.Ended
}

func serverStages(r *loadtest.Result) Table {
	t := Table{Title: "Server metrics: mean ms per image by stage", Head: []string{
		"level", "queue", "decode", "preprocess", "infer", "postprocess", "other", "images/batch", "CPU ms/image", "memory MiB",
	}}
	for _, l := range r.Levels {
		if l.Server == nil {
			continue
		}
		row := []string{l.Name()}
		known := 0.0
		for _, name := range t.Head[1:6] {
			mean := stageMean(l.Server, name)
			row = append(row, optional(mean, 1))
			if mean != nil {
				known += *mean
			}
		}
		other, batch := none, none
		if len(l.Server.Stages) > 0 && r.Load.ImagesPerRequest == 1 { // latencies are per request, stages per image
			other = number(max(0, l.Latency.MeanMS-known))
		}
		if l.Server.BatchMean > 0 {
			batch = number(l.Server.BatchMean)
		}
		t.Rows = append(t.Rows, append(row, other, batch, optional(l.Server.CPUMSPerImage, 1), optional(l.Server.ResidentBytes, 1<<20)))
	}
	return t
}

func gpus(r *loadtest.Result) Table {
	t := Table{Title: "GPUs", Head: []string{"level", "GPU", "utilization %", "memory MiB", "power W", "images/J"}}
	names := map[string]string{}
	for _, g := range r.GPUs {
		names[g.UUID] = fmt.Sprintf("%d %s", g.Index, g.Name)
	}
	for _, l := range r.Levels {
		perJoule, watts := optional(l.ImagesPerJoule, 1), 0.0
		for _, g := range l.GPUs {
			row := []string{l.Name(), names[g.UUID], optional(g.Utilization, 0.01), optional(g.MemoryBytes, 1<<20), optional(g.Watts, 1), none}
			if len(l.GPUs) == 1 {
				row[5] = perJoule
			}
			if g.Watts != nil {
				watts += *g.Watts
			}
			t.Rows = append(t.Rows, row)
		}
		if len(l.GPUs) > 1 && l.ImagesPerJoule != nil {
			t.Rows = append(t.Rows, []string{l.Name(), "all", none, none, number(watts), perJoule})
		}
	}
	return t
}

func failures(r *loadtest.Result) Table {
	t := Table{Title: "Failures in the whole level, including warm-up", Head: []string{"level", "kind", "images"}}
	for _, l := range r.Levels {
		for _, kind := range slices.Sorted(maps.Keys(l.Failures)) {
			t.Rows = append(t.Rows, []string{l.Name(), kind, strconv.Itoa(l.Failures[kind])})
		}
	}
	return t
}

// number has four significant digits.
func number(v float64) string {
	switch {
	case v == 0:
		return "0"
	case v >= 1000:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 0.1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return strconv.FormatFloat(v, 'g', 2, 64)
}

func optional(v *float64, unit float64) string {
	if v == nil {
		return none
	}
	return number(*v / unit)
}

// Headline summarizes what was measured in one line.
func Headline(r *loadtest.Result) string {
	parts := []string{r.Target.URL}
	if r.Target.Version != "" {
		parts = append(parts, "version "+r.Target.Version)
	}
	if r.Target.Device != "" {
		parts[len(parts)-1] += " on " + r.Target.Device
	}
	parts = append(parts, fmt.Sprintf("%s, %d per request", sent(r.Load), r.Load.ImagesPerRequest))
	if r.Load.Arrivals != "" {
		parts = append(parts, string(r.Load.Arrivals)+" arrivals")
	}
	parts = append(parts, fmt.Sprintf("from %s/%s, %d cores", r.Client.OS, r.Client.Arch, r.Client.Cores))
	return strings.Join(parts, " · ")
}

// sent describes what was sent, and how.
func sent(l loadtest.Load) string {
	size := number(l.ImageBytes / 1024)
	if l.Input != "" {
		return fmt.Sprintf("%s tensors of %s KiB per row, %s", l.Input, size, l.Protocol)
	}
	return fmt.Sprintf("%d images of %s KiB on average, %s", l.Images, size, cmp.Or(string(l.Protocol), string(l.Body)))
}

// Found returns the result of the search in a sentence; empty if there was none.
func Found(r *loadtest.Result) string {
	if r.Search == nil {
		return ""
	}
	limit, prefix := plain(r.Search.P99BelowMS), ""
	if r.Search.Interrupted {
		prefix = "The search was interrupted. "
	}
	if r.Search.Level < 0 {
		return fmt.Sprintf("%sNo rate found with a p99 below %s ms.", prefix, limit)
	}
	l, caveat := r.Levels[r.Search.Level], ""
	if !l.Stable {
		caveat = "; not stable"
	}
	return fmt.Sprintf("%sHighest rate found with a p99 below %s ms: %s requests per second (p99 %s ms%s).", prefix, limit,
		number(r.Search.Rate), number(l.Latency.P99MS), caveat)
}
