package main

import (
	"fmt"
	"io"

	"fovea/inference"
	"fovea/postprocess"
)

// printPipeline prints a pipeline that is ready.
func printPipeline(out io.Writer, m inference.Status) {
	_, _ = fmt.Fprintf(out, "  device   %s\n  task     %s, %s\n", m.Device, m.Task, counted(len(m.Steps), "step", "steps"))
	for _, s := range m.Steps {
		sees := "the image"
		if s.Of != "" {
			sees = "objects of " + s.Of
		}
		_, _ = fmt.Fprintf(out, "  step     %s: model %s, of %s\n", s.Name, s.Model, sees)
	}
	_, _ = fmt.Fprintf(out, "  queue    up to %d\n", m.MaxQueue)
}

// printPiped prints the predictions of the steps of a pipeline.
func printPiped(out io.Writer, p *postprocess.Piped) {
	for i := range p.Steps {
		s := &p.Steps[i]
		_, _ = fmt.Fprintf(out, "  step     %s\n", s.Name)
		printPrediction(out, s.Prediction)
		for n, object := range s.Objects[:min(len(s.Objects), maxPrinted)] {
			if object != nil {
				_, _ = fmt.Fprintf(out, "  object   %d of %s\n", n+1, s.Name)
				printPiped(out, object)
			}
		}
	}
}
