package exporter

import (
	"strings"

	"fovea/internal/repository"
)

// The keys of ONNX's metadata about images (docs/MetadataProps.md of onnx), which Custom Vision and WinML's tools write.
const (
	pixelFormatKey = "Image.BitmapPixelFormat"
	pixelRangeKey  = "Image.NominalPixelRange"
)

// pixelFormats are the colors by the value of pixelFormatKey in lower case.
var pixelFormats = map[string]string{"gray8": repository.ColorGray, "rgb8": repository.ColorRGB, "bgr8": repository.ColorBGR,
	"rgba8": repository.ColorRGBA, "bgra8": repository.ColorBGRA}

// pixelRanges are the normalizations by the value of pixelRangeKey in lower case.
var pixelRanges = map[string]string{"nominalrange_0_255": "none", "normalized_0_1": "unit", "normalized_1_1": "inception"}

// pixelMetadata takes the order of channels and the range of values that the metadata says.
func (b *builder) pixelMetadata() {
	color := pixelFormats[strings.ToLower(b.graph.Metadata[pixelFormatKey])]
	if color != "" && (b.channels < 1 || int(b.channels) == (repository.Input{Color: color}).Channels()) {
		b.say("input.color", color, "metadata "+pixelFormatKey)
	}
	if n, ok := normalizations[pixelRanges[strings.ToLower(b.graph.Metadata[pixelRangeKey])]]; ok {
		b.sayNormalization(n, "metadata "+pixelRangeKey)
	}
}

// customVision recognizes exports of Azure's Custom Vision, whose sample (python/onnx/predict.py) resizes without the aspect ratio and,
// unless the metadata says otherwise, takes RGB from 0 to 1: a detector's boxes are from 0 to 1 and its classes count from 0.
func customVision(b *builder) bool {
	const usual = "Custom Vision's sample"
	outputs, ok := b.finishedNamed("detected_boxes", "detected_scores", "detected_classes")
	scores := b.outputNamed("model_output")
	switch {
	case ok:
		const from = "outputs of Custom Vision"
		b.sayFinished(outputs, from)
		b.boxesOf(repository.BoxXYXY, repository.SpaceUnit, from)
		b.usualSize(416, usual)
	case scores != nil && isScores(*scores) && b.graph.Metadata[pixelFormatKey] != "":
		b.say("task", string(repository.Classification), shapeOf(*scores))
		b.scores(*scores)
		b.fitLabels(classesOf(*scores), scores.Name)
		b.usualSize(224, usual)
	default:
		return false
	}
	b.assumed(func() {
		b.stretch(repository.PillowBicubic, usual)
		b.color(usual)
		b.unit(usual)
	})
	return true
}
