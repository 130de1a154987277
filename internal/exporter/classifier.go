package exporter

import (
	"fmt"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// scores sets how an output of class scores is decoded: by the operator that computes it.
func (b *builder) scores(out repository.TensorInfo) {
	if len(b.graph.Outputs) > 1 {
		b.say("output.name", out.Name, "the only output with a score for each class")
	}
	b.zipMapLabels(out.Name)
	_, mapped := b.graph.ZipMaps[out.Name]
	switch op := b.graph.OutputOps[out.Name]; {
	case mapped && op != "Sigmoid":
		b.say("output.decode", repository.DecodeProbabilities, "model.onnx ends with ZipMap, which takes probabilities")
	case op == "Softmax":
		b.say("output.decode", repository.DecodeProbabilities, "model.onnx ends with Softmax")
	case op == "Sigmoid":
		b.say("output.decode", repository.DecodeProbabilities, "model.onnx ends with Sigmoid")
		b.say("output.multi_label", true, "model.onnx ends with Sigmoid")
	case classesOf(out) == 1:
		b.assume("output.decode", repository.DecodeSigmoid, "one score is taken for a logit")
		b.assume("output.multi_label", true, "one class is independent of others")
	case op == "Div" && b.graph.Ops["Exp"] > 0 && b.graph.Ops["ReduceSum"] > 0:
		b.assume("output.decode", repository.DecodeProbabilities, "model.onnx ends with Exp, ReduceSum and Div, which may be a softmax")
	case op == "" && !strings.Contains(strings.ToLower(out.Name), "logit"):
		b.assume("output.decode", repository.DecodeSoftmax, "the scores are taken for logits")
	default:
		b.say("output.decode", repository.DecodeSoftmax, "model.onnx does not end with Softmax or Sigmoid, so that the scores are logits")
	}
}

// zipMapLabels takes the labels of ZipMap: its texts before those of files, its numbers after them, unless they only count.
func (b *builder) zipMapLabels(output string) {
	z := b.graph.ZipMaps[output]
	if z.Numbered() {
		return
	}
	if !z.Named {
		b.findLabels()
	}
	b.takeLabels(z.Labels, "labels of ZipMap in model.onnx")
}

// classesOf returns the number of scores of an output with one for each class, -1 if it is open; 0 if the output has another
// shape or type.
func classesOf(t repository.TensorInfo) int64 {
	if !slices.Contains(repository.ScoreTypes(), t.DType) || len(t.Shape) < 2 {
		return 0
	}
	if flat := repository.Squeeze(t.Shape[1:], 1); len(flat) == 1 {
		return flat[0]
	}
	return 0
}

// isScores reports whether an output has one score for each of several classes.
func isScores(t repository.TensorInfo) bool { return classesOf(t) != 0 && classesOf(t) != 1 }

// classOutput finds the output with the scores of the classes: the one that is named, the only one, or the only one that is named
// like logits or probabilities. The only output may have one score.
func (b *builder) classOutput() *repository.TensorInfo {
	name := b.outputName()
	var fits, named []repository.TensorInfo
	for _, t := range b.graph.Outputs {
		switch single := classesOf(t) == 1; {
		case classesOf(t) == 0:
			continue
		case name == t.Name:
			return &t
		case single && len(b.graph.Outputs) > 1:
			continue
		}
		fits = append(fits, t)
		if slices.ContainsFunc([]string{"logit", "prob", "score", "softmax", "class", "pred"}, func(s string) bool {
			return strings.Contains(strings.ToLower(t.Name), s)
		}) {
			named = append(named, t)
		}
	}
	switch {
	case len(fits) == 1 && name == "":
		return &fits[0]
	case len(named) == 1 && name == "":
		return &named[0]
	}
	return nil
}

// classifier recognizes a model with one score for each class, whatever wrote it.
func classifier(b *builder) bool {
	if b.taskIsOther() {
		return false
	}
	out := b.classOutput()
	if out == nil {
		var fits []string
		for _, t := range b.graph.Outputs {
			if isScores(t) {
				fits = append(fits, t.Name)
			}
		}
		if len(fits) < 2 {
			return false
		}
		b.ask("output.name", "several outputs may hold the scores of the classes", fits...)
		return true
	}
	b.say("task", string(repository.Classification), shapeOf(*out))
	b.scores(*out)
	b.oneScore(*out)
	usual := ""
	if classesOf(*out) == 1001 {
		usual = "1001 classes are those of ImageNet after a background, as in TF-Slim"
	}
	b.fitLabelsOrBackground(classesOf(*out), out.Name, usual)
	b.fixedSize(0, 0, "")
	switch {
	case b.channelsLast:
		b.exporter = "Keras"
		b.assumed(func() {
			b.stretch(repository.PillowBilinear, "Keras models are trained on images resized without their aspect ratio")
		})
		if !b.normalizedInside() {
			b.askNormalization("model.onnx does not say what its input ranges over", "inception", "none", "caffe", "imagenet", "unit")
		}
	case b.image.DType == repository.Uint8:
		b.assumed(func() { b.stretch(repository.PillowBilinear, "usual of inputs of uint8") })
	case b.channels == 1:
		b.assumed(func() { b.stretch(repository.PillowBilinear, "usual of grayscale inputs") })
		b.askNormalization("model.onnx does not say what its input ranges over", "unit", "inception", "none")
	default:
		b.torchvisionPreprocessing()
	}
	b.assumed(func() { b.color("usual") })
	return true
}

// oneScore refuses an output of one number that is not the score of a class, or may not be.
func (b *builder) oneScore(out repository.TensorInfo) {
	op := b.graph.OutputOps[out.Name]
	said := slices.ContainsFunc([]string{"task", "output.decode", "output.multi_label"}, func(key string) bool { return b.settings[key] != "" })
	switch b.findLabels(); {
	case classesOf(out) != 1:
	case op == "Softmax":
		b.fail("the output %q has one class and model.onnx ends with Softmax, so that its score is always 1; export the model without Softmax", out.Name)
	case len(b.labels) == 2:
		b.fail("the output %q has one score for 2 labels (%s); name the class whose score it is, which is usually the second: labels=%s",
			out.Name, b.labelFrom, b.labels[1])
	case op != "Sigmoid" && len(b.labels) == 0 && b.wanted == "" && !said:
		b.ask("exporter", fmt.Sprintf("the output %s is one number: the logit of one class, or a measure such as an age, which is not supported", describe(out)), "classifier")
	}
}

// taskIsOther reports whether the user says that the task is not classification.
func (b *builder) taskIsOther() bool {
	task := b.settings["task"]
	return task != "" && task != string(repository.Classification)
}

// stretch resizes without the aspect ratio.
func (b *builder) stretch(interpolation, from string) {
	b.say("input.resize", string(repository.Stretch), from)
	b.say("input.interpolation", interpolation, from)
}

// torchvisionPreprocessing is that of torchvision's classification presets (references/classification/presets.py): the shorter side is
// resized to 256 for a crop of 224, and so in proportion, and colors are normalized as for ImageNet.
func (b *builder) torchvisionPreprocessing() {
	const preset = "torchvision's classification preset"
	width, height := b.size()
	b.assumed(func() {
		if width == height && width > 0 {
			b.shortestEdge(max(width, (width*256+112)/224), preset)
		} else {
			b.say("input.resize", string(repository.Stretch), preset+" is for square inputs")
		}
		b.say("input.interpolation", repository.PillowBilinear, preset)
	})
	if b.normalizedInside() {
		return
	}
	b.assumeImageNet(fmt.Sprintf("%s; set normalization to change it", preset))
}
