package exporter

import (
	"fmt"
	"slices"

	"fovea/internal/repository"
)

// scoreTable recognizes boxes [N,n,4], before suppression, with a table of probabilities [N,n,classes], as SSDs have them that are
// exported with their priors applied (qfgaohao's pytorch-ssd, UltraFace): behind a softmax, whose first class is the background,
// or behind a sigmoid, without one.
func scoreTable(b *builder) bool {
	boxes, scores := b.tables()
	if boxes == nil || scores == nil {
		return false
	}
	from := fmt.Sprintf("shapes of %s and %s", describe(*boxes), describe(*scores))
	b.sayFinished(finished{boxes: boxes, scores: scores}, from)
	classes := scores.Shape[2]
	softmax := b.graph.OutputOps[scores.Name] == "Softmax"
	switch {
	case len(b.labels) == 0 && softmax:
		b.assume("output.class_first", 1, "the first class of a softmax over boxes is the background in SSD")
	case softmax:
		b.fitLabelsOrBackground(classes, scores.Name, "the first class of SSD is the background")
	default:
		b.fitLabelsOrBackground(classes, scores.Name, "")
	}
	b.ask("output.box_space", "the unit of the boxes is not in the file", "unit", "input")
	b.assume("output.iou_threshold", 0.45, "usual of SSD, as the boxes are before suppression")
	b.fixedSize(0, 0, "")
	b.assumed(func() { b.stretch(repository.OpenCVLinear, "usual of SSD") })
	b.color("usual")
	b.askNormalization("model.onnx does not say what its input ranges over", "inception", "unit", "imagenet", "none")
	return true
}

// tables finds the only outputs [N,n,4] and [N,n,classes] of the same n, the latter probabilities.
func (b *builder) tables() (boxes, scores *repository.TensorInfo) {
	for i := range b.graph.Outputs {
		t := &b.graph.Outputs[i]
		if len(t.Shape) != 3 || !slices.Contains(repository.ScoreTypes(), t.DType) {
			continue
		}
		op := b.graph.OutputOps[t.Name]
		switch {
		case op == "Softmax" || op == "Sigmoid" && t.Shape[2] != 4:
			if scores != nil {
				return nil, nil
			}
			scores = t
		case t.Shape[2] == 4:
			if boxes != nil {
				return nil, nil
			}
			boxes = t
		}
	}
	if boxes == nil || scores == nil || boxes.Shape[1] >= 0 && scores.Shape[1] >= 0 && boxes.Shape[1] != scores.Shape[1] {
		return nil, nil
	}
	return boxes, scores
}
