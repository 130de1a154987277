package main

import (
	"fmt"
	"io"

	"fovea/postprocess"
)

// printMap prints predictions that are neither classes nor boxes.
func printMap(out io.Writer, p postprocess.Prediction) {
	switch p := p.(type) {
	case *postprocess.ClassMap:
		_, _ = fmt.Fprintf(out, "  image    %d × %d pixels, %s\n", p.Width, p.Height, counted(len(p.Classes), "class", "classes"))
		for _, c := range p.Classes[:min(len(p.Classes), maxPrinted)] {
			_, _ = fmt.Fprintf(out, "  sees     %.1f %%  %s\n", 100*c.Share, label(c.Label, c.Class))
		}
	case *postprocess.Recognized:
		_, _ = fmt.Fprintf(out, "  reads    %.4f  %q\n", p.Score, p.Text)
	case *postprocess.Embedded:
		_, _ = fmt.Fprintf(out, "  vector   %d numbers, the first %.4g\n", len(p.Vector), p.Vector[:min(len(p.Vector), 4)])
	case *postprocess.DepthMap:
		_, _ = fmt.Fprintf(out, "  depth    %d × %d, from %.4g to %.4g\n", p.Depth.Width, p.Depth.Height, p.Min, p.Max)
	case *postprocess.AnomalyMap:
		_, _ = fmt.Fprintf(out, "  anomaly  score %.4f, anomalous: %t; map of %d × %d\n", p.Score, p.Anomalous, p.Map.Width, p.Map.Height)
	case *postprocess.Rendered:
		_, _ = fmt.Fprintf(out, "  makes    an image of %d × %d pixels\n", p.Image.Rect.Dx(), p.Image.Rect.Dy())
	}
}
