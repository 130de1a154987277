package peers

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
)

// Table is the verb `bench peers-table`: it renders result files as Markdown tables. With -doc it replaces the tables in a
// document, between its marks.
func Table(_ context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("bench peers-table", flag.ContinueOnError)
	doc := f.String("doc", "", "document whose tables are replaced (default: they are printed)")
	if err := f.Parse(args); err != nil {
		return err
	}
	r, err := readResults(f.Args())
	if err != nil {
		return err
	}
	if *doc == "" {
		_, err := io.WriteString(out, markdown(r))
		return err
	}
	text, err := os.ReadFile(*doc)
	if err != nil {
		return err
	}
	replaced, err := replaceTables(string(text), markdown(r))
	if err != nil {
		return fmt.Errorf("%s: %w", *doc, err)
	}
	return os.WriteFile(*doc, []byte(replaced), 0o644)
}

// The marks around the tables in a document.
const (
	beginMark = "<!-- figures: begin (bench peers-table -doc) -->\n"
	endMark   = "<!-- figures: end -->\n"
)

func replaceTables(doc, tables string) (string, error) {
	before, rest, ok := strings.Cut(doc, beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return "", fmt.Errorf("it lacks the lines %q and %q", strings.TrimSpace(beginMark), strings.TrimSpace(endMark))
	}
	return before + beginMark + tables + endMark + after, nil
}

// markdown writes the machine, a table of ratios and a table for each model.
func markdown(r *Result) string {
	var b strings.Builder
	m := r.Machine
	fmt.Fprintf(&b, "Measured on %s: %d cores of %s, %.0f GiB, %s, Linux %s. ", r.Started.Format("2006-01-02"), m.Cores, m.CPU,
		float64(m.MemoryMiB)/1024, m.System, m.Kernel)
	fmt.Fprintf(&b, "Python %s", r.Versions["python"])
	for _, name := range strings.Fields(packages) {
		fmt.Fprintf(&b, ", %s %s", name, r.Versions[name])
	}
	b.WriteString(".\n\n")
	ratios(&b, r)
	for _, c := range benchModels {
		if slices.ContainsFunc(r.Samples, func(s Sample) bool { return strings.HasPrefix(s.Cell, c.key+"/") }) {
			fmt.Fprintf(&b, "\n### %s\n\n", c.title)
			figures(&b, r, c)
		}
	}
	return b.String()
}

// figures writes the table of one model. The best figure of a cell's servers is bold.
func figures(b *strings.Builder, r *Result, c benchModel) {
	b.WriteString("| images, bodies | server | images/s at 1, 8, 32 | p50 ms at 1, 8, 32 | p99 ms at 1, 8, 32 | CPU ms a request at 8 | at equal load: p50, p99 ms | memory MiB | first response s |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, one := range cells() {
		if one.key != c.key {
			continue
		}
		var views []view
		for _, s := range servers {
			if v := (view{r.Samples, one.name(), s.key}); v.any() {
				views = append(views, v)
			}
		}
		for _, v := range views {
			fmt.Fprintf(b, "| %s, %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", one.title, one.form, titleOf(v.server)+v.failures(),
				row(views, v, throughput, math.Max), row(views, v, p50, math.Min), row(views, v, p99, math.Min),
				best(views, v, func(v view) float64 { return v.level(at(8), cpu) }, math.Min), equalLoadFigures(views, v),
				best(views, v, func(v view) float64 { return v.sample(peak) }, math.Min),
				best(views, v, func(v view) float64 { return v.sample(startup) / 1000 }, math.Min))
		}
		if v := (view{r.Samples, one.name(), baselineKey}); v.any() {
			fmt.Fprintf(b, "| %s, %s | loop without HTTP | %s | | | %s | | | |\n", one.title, one.form, number(v.level(at(0), throughput)), number(v.level(at(0), cpu)))
		}
	}
}

func titleOf(key string) string {
	return servers[slices.IndexFunc(servers, func(s server) bool { return s.key == key })].title
}

// best renders a figure of v, bold if no other view's is better.
func best(views []view, v view, of func(view) float64, better func(a, b float64) float64) string {
	text := number(of(v))
	for _, other := range views {
		if o := of(other); !math.IsNaN(o) && better(o, of(v)) != of(v) && number(o) != text {
			return text
		}
	}
	if len(views) < 2 || math.IsNaN(of(v)) {
		return text
	}
	return "**" + text + "**"
}

// row renders a figure of v at all concurrencies.
func row(views []view, v view, of func(Level) float64, better func(a, b float64) float64) string {
	var texts []string
	for _, n := range concurrencies {
		texts = append(texts, best(views, v, func(v view) float64 { return v.level(at(n), of) }, better))
	}
	return strings.Join(texts, ", ")
}

func equalLoadFigures(views []view, v view) string {
	rate := v.level(atRate, rateOf)
	if math.IsNaN(rate) {
		return "–"
	}
	latency := func(of func(Level) float64) string {
		return best(views, v, func(v view) float64 { return v.level(atRate, of) }, math.Min)
	}
	return fmt.Sprintf("%s/s: %s, %s", number(rate), latency(p50), latency(p99))
}

// number has three significant digits, or all digits of its integer part.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return "–"
	case math.Abs(v) >= 100:
		return fmt.Sprintf("%.0f", v)
	case math.Abs(v) >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
