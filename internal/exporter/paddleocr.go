package exporter

import (
	"strings"

	"fovea/internal/repository"
)

// paddleOCR recognizes PaddleOCR's classifier of the direction of text lines (tools/infer/predict_cls.py): two classes, and an
// input whose file leaves the size open. Lines are resized to a height of 48 and padded to a width of 192.
func paddleOCR(b *builder) bool {
	if len(b.graph.Outputs) != 1 || !b.isOpen() {
		return false
	}
	out := b.graph.Outputs[0]
	if len(out.Shape) != 2 || out.Shape[1] != 2 || b.image.Name != "x" || !strings.Contains(out.Name, "tmp") {
		return false
	}
	const usual = "PaddleOCR's text direction classifier"
	b.say("task", string(repository.Classification), shapeOf(out))
	b.takeLabels([]string{"0", "180"}, usual)
	b.scores(out)
	b.fitLabels(classesOf(out), out.Name)
	b.assumed(func() {
		b.say("input.width", 192, usual)
		b.say("input.height", 48, usual)
		b.say("input.resize", string(repository.FitHeight), usual)
		b.say("input.fill", []float64{127.5}, usual)
		b.say("input.interpolation", repository.OpenCVLinear, usual)
		b.say("input.color", repository.ColorBGR, usual)
		b.sayNormalization(normalizations["inception"], usual)
	})
	return true
}
