package verify

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Lines of the report in words.
const (
	worstImages = 5
	shownRows   = 12
)

// Print writes the report in words. model is what it is about.
func (r *Report) Print(out io.Writer, model string, t Tolerance) {
	fmt.Fprintf(out, "%s: %d images compared with %s", model, r.Compared, r.Format)
	if r.Numbering != "" {
		fmt.Fprintf(out, " (%s, assumed; --annotations tells)", r.Numbering)
	}
	if r.Unlisted > 0 {
		fmt.Fprintf(out, "; of %d more it says nothing", r.Unlisted)
	}
	fmt.Fprintln(out)
	tolerance := fmt.Sprintf("score ± %g", t.Score)
	if r.NoScores {
		tolerance = "without scores"
	}
	if r.Detection {
		fmt.Fprintf(out, "  agreement   %.4f: %d boxes have a partner (IoU ≥ %g, %s), %d expected ones are missing, %d are too many\n",
			r.Agreement, r.Matched, t.IoU, tolerance, r.Missing, r.Extra)
		fmt.Fprintf(out, "  pairs       mean IoU %.4f, difference of scores %.4f on average, %.4f at most\n", r.MeanIoU, r.Difference, r.MaxDifference)
	} else {
		fmt.Fprintf(out, "  agreement   %.4f of the images: same best class, %s\n", r.Agreement, tolerance)
		fmt.Fprintf(out, "  best class  %.4f agree, %.4f are among the first five; difference of scores %.4f on average, %.4f at most\n", r.Top1, r.Top5, r.Difference, r.MaxDifference)
	}
	fmt.Fprintf(out, "  similarity  %.4f\n", r.Similarity)
	r.printAccuracy(out)
	r.printWorst(out)
	if len(r.Alternatives) > 0 {
		r.printAlternatives(out)
	}
}

func (r *Report) printAccuracy(out io.Writer) {
	a := r.Accuracy
	if a == nil {
		return
	}
	fmt.Fprintf(out, "  accuracy    %.4f of %d images have the class of their folder", a.Accuracy, a.Images)
	if a.Against != nil {
		fmt.Fprintf(out, "; %s: %.4f, a drop of %.4f", r.Format, *a.Against, *a.Drop)
	}
	if a.Unnamed > 0 {
		fmt.Fprintf(out, "; the folders of %d more are no label", a.Unnamed)
	}
	fmt.Fprintln(out)
}

func (r *Report) printWorst(out io.Writer) {
	worst := slices.DeleteFunc(slices.Clone(r.Images), func(i ImageResult) bool { return i.agreement() == 1 })
	slices.SortStableFunc(worst, func(a, b ImageResult) int {
		return cmp.Or(cmp.Compare(a.agreement(), b.agreement()), cmp.Compare(a.Similarity, b.Similarity))
	})
	for i, image := range worst[:min(len(worst), worstImages)] {
		title := ""
		if i == 0 {
			title = "worst"
		}
		if image.Error != "" {
			fmt.Fprintf(out, "  %-11s %s: %s\n", title, image.Image, strings.ReplaceAll(image.Error, "\n", "; "))
			continue
		}
		fmt.Fprintf(out, "  %-11s %s: %d agree, %d missing, %d too many\n", title, image.Image, image.Matched, image.Missing, image.Extra)
	}
}

func (r *Report) printAlternatives(out io.Writer) {
	fmt.Fprintf(out, "\nAlternatives, with %d images:\n", r.Tried)
	w := tabwriter.NewWriter(out, 2, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  AGREEMENT\tSIMILARITY\tCHANGE")
	base := r.Alternatives[slices.IndexFunc(r.Alternatives, func(a Alternative) bool { return a.Change == nil })]
	for i, a := range r.Alternatives {
		switch {
		case a.Change == nil:
			fmt.Fprintf(w, "  %.4f\t%.4f\t(model.yaml as it is)\n", a.Agreement, a.Similarity)
		case i < shownRows && a.Similarity != base.Similarity: // others change nothing
			fmt.Fprintf(w, "  %.4f\t%.4f\t%s\n", a.Agreement, a.Similarity, a)
		}
	}
	_ = w.Flush()
	if r.Likely == nil {
		fmt.Fprintln(out, "\nNo alternative explains the differences. Are both from the same weights and images?")
		return
	}
	keys := []string{}
	for _, l := range r.Likely.Lines {
		keys = append(keys, l.Key)
	}
	fmt.Fprintf(out, "\nLikely wrong: %s. Write in model.yaml:\n\n%s", strings.Join(keys, ", "), r.Likely.YAML())
	if len(r.Likely.Remove) > 0 {
		fmt.Fprintf(out, "\nand remove %s.\n", strings.Join(r.Likely.Remove, ", "))
	}
}
