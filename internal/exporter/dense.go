package exporter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// saidTask recognizes models whose task is said, and which shapes alone do not tell: a vector, or a map of any numbers.
func saidTask(b *builder) bool {
	switch repository.Task(b.settings["task"]) {
	case repository.SemanticSegmentation:
		return b.classMap()
	case repository.Embedding:
		out := b.vector()
		if out == nil {
			return false
		}
		b.embedding(*out, repository.OriginSet)
		return true
	case repository.Depth:
		return b.numberMap(repository.Depth)
	case repository.Anomaly:
		return b.numberMap(repository.Anomaly)
	case repository.ImageOutput:
		return b.imageOutput()
	}
	return false
}

// semanticByShape recognizes maps of classes without a task: numbers of classes, or scores whose number is that of the labels.
func semanticByShape(b *builder) bool {
	if b.settings["task"] != "" {
		return false
	}
	out := b.mapOutput()
	if out == nil {
		return false
	}
	if !slices.Contains(repository.ScoreTypes(), out.DType) {
		return b.classMap()
	}
	b.findLabels()
	n := int64(len(b.labels))
	may := func(classes int64) bool { return classes == n || classes < 0 }
	switch {
	case len(out.Shape) < 4:
		return false
	case n > 1 && (may(out.Shape[1]) || may(out.Shape[3])), n == 2 && (out.Shape[1] == 1 || out.Shape[3] == 1), out.Name == "out" && out.Shape[1] != 1:
		return b.classMap()
	case len(b.graph.Outputs) > 1, n == 0 && b.graph.Ops["Conv"] == 0:
		return false
	}
	b.ask("task", fmt.Sprintf("the output %s is a map: of classes, which as many labels would tell, of depths or anomalies, or an image", describe(*out)),
		string(repository.SemanticSegmentation), string(repository.Depth), string(repository.Anomaly), string(repository.ImageOutput))
	return true
}

// mapOutput is the output of a map, [N,h,w] or of four dimensions: the named one, or the only one that is none of an auxiliary head.
func (b *builder) mapOutput() *repository.TensorInfo {
	wanted := func(name string) bool {
		if said := b.outputName(); said != "" {
			return name == said
		}
		name = strings.ToLower(name)
		return !strings.HasPrefix(name, "aux") && !strings.HasSuffix(name, "_aux")
	}
	var fits []repository.TensorInfo
	for _, t := range b.graph.Outputs {
		if n := len(t.Shape); n >= 3 && n <= 4 && slices.Contains(repository.MaskTypes(), t.DType) && wanted(t.Name) {
			fits = append(fits, t)
		}
	}
	if len(fits) != 1 {
		return nil
	}
	return &fits[0]
}

// dense sets the task and the decoder of an output of a map or a vector.
func (b *builder) dense(out repository.TensorInfo, task repository.Task, decode, from string) {
	b.say("task", string(task), from)
	b.decodes(out, decode, from)
}

// classMap sets the decoder of a map of classes, and torchvision's preprocessing.
func (b *builder) classMap() bool {
	out := b.mapOutput()
	if out == nil {
		return false
	}
	b.classMapOf(*out)
	b.denseInput("usual of semantic segmentation")
	return true
}

// classMapOf sets the decoder of a map of classes.
func (b *builder) classMapOf(out repository.TensorInfo) {
	from := shapeOf(out)
	if !slices.Contains(repository.ScoreTypes(), out.DType) || len(out.Shape) == 3 {
		b.dense(out, repository.SemanticSegmentation, repository.DecodeClassMap, from)
		b.findLabels()
		return
	}
	b.dense(out, repository.SemanticSegmentation, repository.DecodeLogitsMap, from)
	b.findLabels()
	classes, n := out.Shape[1], int64(len(b.labels))
	if last := out.Shape[3]; n > 0 && last == n && classes != n || n == 0 && last > 0 && (classes < 0 || last < classes) {
		classes = last
		b.say("output.map_layout", "nhwc", from)
	}
	if classes == 1 {
		classes = 2 // the background has none
		if b.graph.OutputOps[out.Name] == "Sigmoid" {
			b.say("output.map_threshold", 0.5, "model.onnx ends with Sigmoid")
		}
	}
	b.fitLabels(classes, out.Name)
}

// denseInput assumes that images are stretched to the input, and ImageNet's normalization.
func (b *builder) denseInput(usual string) {
	b.usualSize(256, "model.onnx leaves the size open; set size to that of the training")
	b.assumed(func() {
		b.stretch(repository.OpenCVLinear, usual)
		b.color(usual)
	})
	if !b.normalizedInside() {
		b.assumeImageNet(usual + "; set normalization to change it")
	}
}

// numberMap sets the decoder of a map of numbers.
func (b *builder) numberMap(task repository.Task) bool {
	out := b.mapOutput()
	if out == nil || !slices.Contains(repository.ScoreTypes(), out.DType) {
		return false
	}
	b.dense(*out, task, repository.DecodeMap, shapeOf(*out))
	b.denseInput("usual of maps of numbers")
	return true
}

// anomalib recognizes exports of anomalib (src/anomalib/models/components/base/export_mixin.py): a map and the image's score. Since version
// 2 the graph resizes, normalizes and has scores from 0 to 1, of which 0.5 and more are anomalous.
func anomalib(b *builder) bool {
	out := b.outputNamed("anomaly_map")
	if out == nil || len(out.Shape) < 3 {
		return false
	}
	const from = "outputs of anomalib"
	b.dense(*out, repository.Anomaly, repository.DecodeMap, from)
	if score := b.outputNamed("pred_score"); score != nil && slices.Contains(repository.ScoreTypes(), score.DType) {
		b.say("output.scores", score.Name, from)
	}
	b.say("output.score_threshold", 0.5, "anomalib's scores are normalized")
	if label := b.outputNamed("pred_label"); label != nil && slices.Contains(repository.MaskTypes(), label.DType) {
		b.say("output.anomalous", label.Name, from)
	}
	if mask := b.outputNamed("pred_mask"); mask != nil && slices.Contains(repository.MaskTypes(), mask.DType) {
		b.say("output.masks", mask.Name, from)
	}
	b.assumed(func() {
		b.usualSize(256, from)
		b.stretch(repository.OpenCVLinear, from)
		b.color(from)
	})
	if !b.normalizedInside() {
		b.assumed(func() { b.unit("anomalib normalizes in the graph, from 0 to 1") })
	}
	return true
}

// imageOutput sets the decoder of an image.
func (b *builder) imageOutput() bool {
	out := b.mapOutput()
	if out == nil || len(out.Shape) != 4 {
		return false
	}
	b.dense(*out, repository.ImageOutput, repository.DecodeImage, shapeOf(*out))
	b.assumed(func() {
		if b.staysOpen() {
			b.say("input.resize", string(repository.NoResize), "model.onnx leaves the size open")
		} else {
			b.stretch(repository.PillowBicubic, "usual")
		}
		b.color("usual")
	})
	if !b.normalizedInside() {
		b.assumed(func() { b.unit("usual of models that make images; set normalization to change it") })
	}
	white := 1.0
	if b.image.DType == repository.Uint8 || cmp.Or(b.settings["input.scale"], b.values["input.scale"].text) == "1" {
		white = 255
	}
	b.assume("output.range", []float64{0, white}, "the output ranges like the input")
	return true
}

// vector is the output of a vector: the named one, or the only one of two dimensions, or the only one that is called an embedding.
func (b *builder) vector() *repository.TensorInfo {
	var fits, named []repository.TensorInfo
	for _, t := range b.graph.Outputs {
		if name := b.outputName(); name != "" && t.Name != name || classesOf(t) == 0 {
			continue
		}
		fits = append(fits, t)
		if strings.Contains(strings.ToLower(t.Name), "embed") {
			named = append(named, t)
		}
	}
	switch {
	case len(fits) == 1:
		return &fits[0]
	case len(named) == 1:
		return &named[0]
	}
	return nil
}

// embeddingByShape recognizes vectors that are no scores: of length 1, called an embedding, or the features of a face that ArcFace ends with a
// normalization.
func embeddingByShape(b *builder) bool {
	out := b.vector()
	if out == nil || b.settings["task"] != "" || b.wanted == "classifier" {
		return false
	}
	width, height := b.size()
	face := b.graph.OutputOps[out.Name] == "BatchNormalization" && width == 112 && height == 112
	if !b.isVector(*out) && !face {
		return false
	}
	if face {
		b.assume("task", string(repository.Embedding), "112 × 112 pixels and a BatchNormalization at the end are those of ArcFace")
		const usual = "InsightFace's ArcFaceONNX" // python-package/insightface/model_zoo/arcface_onnx.py
		b.assumed(func() {
			b.stretch(repository.OpenCVLinear, usual)
			b.color(usual)
			b.sayNormalization(normalizations["inception"], usual)
		})
	}
	b.embedding(*out, shapeOf(*out))
	return true
}

// embedding sets the decoder of a vector.
func (b *builder) embedding(out repository.TensorInfo, from string) {
	b.dense(out, repository.Embedding, repository.DecodeVector, from)
	b.labelsSought = true // it has none
	b.usualSize(224, "usual of embeddings")
	b.assumed(func() { b.stretch(repository.OpenCVLinear, "usual"); b.color("usual") })
	if !b.normalizedInside() {
		b.askNormalization("model.onnx does not say what its input ranges over", "imagenet", "clip", "inception", "unit")
	}
}

// transformersDense recognizes the tasks of transformers that have no class scores or boxes: depths, vectors of images, and maps of
// classes.
func (b *builder) transformersDense(config map[string]any) bool {
	logits := b.outputNamed("logits")
	switch depth, vector := b.outputNamed("predicted_depth"), b.outputNamed("image_embeds", "pooler_output"); {
	case depth != nil:
		b.dense(*depth, repository.Depth, repository.DecodeMap, "output "+depth.Name)
	case logits != nil && len(logits.Shape) == 4:
		b.classMapOf(*logits)
	case vector != nil && logits == nil && len(vector.Shape) >= 2:
		b.dense(*vector, repository.Embedding, repository.DecodeVector, "output "+vector.Name)
		b.labels, b.labelsSought = nil, true
	default:
		return false
	}
	b.imageProcessor(config)
	return true
}
