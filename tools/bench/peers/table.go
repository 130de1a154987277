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
	for _, name := range []string{"fastapi", "uvicorn", "litserve", "bentoml", "onnxruntime", "opencv-python-headless", "numpy"} {
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

// figures writes the table of one model.
func figures(b *strings.Builder, r *Result, c benchModel) {
	b.WriteString("| images | server | images/s at 1, 8, 32 | p50 ms at 1, 8, 32 | p99 ms at 1, 8, 32 | CPU ms a request at 8 | at equal load: p50, p99 ms | memory MiB | first response s |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for _, one := range cells() {
		if one.key != c.key {
			continue
		}
		for _, s := range servers {
			v := view{r.Samples, one.name(), s.key}
			if !v.any() {
				continue
			}
			load := "–"
			if rate := v.level(atRate, rateOf); !math.IsNaN(rate) {
				load = fmt.Sprintf("%s/s: %s, %s", number(rate), number(v.level(atRate, p50)), number(v.level(atRate, p99)))
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", one.title, s.title+v.failures(),
				v.row(throughput), v.row(p50), v.row(p99), number(v.level(at(8), cpu)), load, number(v.sample(peak)), number(v.sample(startup)/1000))
		}
		if v := (view{r.Samples, one.name(), baselineKey}); v.any() {
			fmt.Fprintf(b, "| %s | loop without HTTP | %s | | | %s | | | |\n", one.title, number(v.level(at(0), throughput)), number(v.level(at(0), cpu)))
		}
	}
}

// ratios writes the table that compares Fovea with the others: medians of the ratios within a round, whose turns are close in
// time, so that changes in the machine's speed affect them least.
func ratios(b *strings.Builder, r *Result) {
	b.WriteString("| | throughput: best peer | FastAPI | loop without HTTP | CPU time: loop | p99 at equal load: best peer | memory: smallest peer | first response: fastest peer |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|\n| target | ≥ 1.5 | ≥ 2 | ≥ 0.9 | | ≤ 0.5 | ≤ 0.33 | ≤ 0.33 |\n")
	for _, c := range cells() {
		var columns [7][]float64
		for _, samples := range rounds(r.Samples, c.name()) {
			for i, v := range roundRatios(samples, c.name()) {
				if !math.IsNaN(v) {
					columns[i] = append(columns[i], v)
				}
			}
		}
		if len(columns[0]) == 0 {
			continue
		}
		fmt.Fprintf(b, "| %s |", c.name())
		for _, values := range columns {
			fmt.Fprintf(b, " %s |", number(median(values)))
		}
		b.WriteString("\n")
	}
}

// rounds returns the samples of a cell by their round.
func rounds(all []Sample, cellName string) map[int][]Sample {
	found := map[int][]Sample{}
	for _, s := range all {
		if s.Cell == cellName {
			found[s.Round] = append(found[s.Round], s)
		}
	}
	return found
}

// roundRatios returns the columns of ratios in one round; NaN where there is no value.
func roundRatios(samples []Sample, cellName string) [7]float64 {
	of := func(key string) view { return view{samples, cellName, key} }
	peer := func(figure func(view) float64, best func(a, b float64) float64) float64 {
		found := math.NaN()
		for _, s := range servers[1:] {
			switch v := figure(of(s.key)); {
			case math.IsNaN(found):
				found = v
			case !math.IsNaN(v):
				found = best(found, v)
			}
		}
		return found
	}
	tail := func(v view) float64 { return v.level(atRate, p99) }
	memory := func(v view) float64 { return v.sample(peak) }
	start := func(v view) float64 { return v.sample(startup) }
	fovea, loop := of("fovea"), of(baselineKey)
	return [7]float64{
		fovea.best() / peer(view.best, math.Max), fovea.best() / of("fastapi").best(), fovea.best() / loop.level(at(0), throughput),
		fovea.level(at(8), cpu) / loop.level(at(0), cpu), tail(fovea) / peer(tail, math.Min),
		memory(fovea) / peer(memory, math.Min), start(fovea) / peer(start, math.Min),
	}
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
