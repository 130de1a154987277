package exporter

import (
	"slices"
	"strings"

	"fovea/internal/repository"
)

// finished are the outputs of a model whose boxes are finished. classes is nil where scores has one for each class, and scores where they
// are asked for.
type finished struct{ boxes, scores, classes *repository.TensorInfo }

// finishedNamed finds outputs of boxes, scores and classes by their names, which may have a prefix that ends with _.
func (b *builder) finishedNamed(boxes, scores, classes string) (f finished, ok bool) {
	f = finished{b.outputEnding(boxes), b.outputEnding(scores), b.outputEnding(classes)}
	return f, f.boxes != nil && f.scores != nil && f.classes != nil
}

// outputEnding returns the output of a name, or the only one whose name ends with _ and the name.
func (b *builder) outputEnding(name string) *repository.TensorInfo {
	if t := b.outputNamed(name); t != nil {
		return t
	}
	var found *repository.TensorInfo
	for i, t := range b.graph.Outputs {
		if strings.HasSuffix(t.Name, "_"+name) {
			if found != nil {
				return nil
			}
			found = &b.graph.Outputs[i]
		}
	}
	return found
}

// sayFinished sets the decoder of finished boxes.
func (b *builder) sayFinished(f finished, from string) {
	b.extras()
	b.detection(from)
	b.say("output.decode", repository.DecodeBoxes, from)
	b.say("output.boxes", f.boxes.Name, from)
	if f.scores != nil {
		b.say("output.scores", f.scores.Name, from)
	}
	if f.classes != nil {
		b.say("output.classes", f.classes.Name, from)
	}
	b.finalBoxes()
}

// boxesOf sets the format and the space of finished boxes.
func (b *builder) boxesOf(format, space, from string) {
	b.say("output.box_format", format, from)
	b.say("output.box_space", space, from)
}

// finalBoxes are usual limits of detectors whose boxes are final.
func (b *builder) finalBoxes() { b.assume("output.max_boxes", 300, "usual") }

// fromOne sets that classes count from 1, 0 being the background.
func (b *builder) fromOne(from string) {
	b.dropBackground()
	b.say("output.class_first", 1, from)
}

// tensorFlowDetection recognizes the outputs of exporter_main_v2.py of TensorFlow's Object Detection API (exporter_lib_v2.py):
// boxes have y first, from 0 to 1, and classes count from 1. The graph resizes and normalizes.
func tensorFlowDetection(b *builder) bool {
	outputs, ok := b.finishedNamed("detection_boxes", "detection_scores", "detection_classes")
	if !ok {
		return b.tfLite()
	}
	const from = "outputs of TensorFlow's Object Detection API"
	b.sayFinished(outputs, from)
	b.boxesOf(repository.BoxYXYX, repository.SpaceUnit, from)
	b.fromOne("label maps of TensorFlow's Object Detection API count from 1")
	b.assumed(func() {
		b.ownSize(from)
		b.say("input.interpolation", repository.OpenCVLinear, from)
		b.color(from)
	})
	return true
}

// tfLite recognizes the outputs of the operator TFLite_Detection_PostProcess, as export_tflite_ssd_graph.py adds it: boxes have y first,
// from 0 to 1, and classes count from 0. The input is that of the network.
func (b *builder) tfLite() bool {
	const name = "TFLite_Detection_PostProcess"
	f := finished{b.outputNamed(name), b.outputNamed(name + ":2"), b.outputNamed(name + ":1")}
	if f.boxes == nil || f.scores == nil || f.classes == nil {
		return false
	}
	const from = "outputs of " + name
	b.sayFinished(f, from)
	b.boxesOf(repository.BoxYXYX, repository.SpaceUnit, from)
	b.fixedSize(0, 0, "")
	b.assumed(func() {
		b.stretch(repository.OpenCVLinear, from)
		b.color(from)
	})
	if strings.HasPrefix(b.image.Name, "normalized_input_image_tensor") {
		b.sayNormalization(normalizations["inception"], "name of the input "+b.image.Name)
	}
	b.askNormalization("model.onnx does not say what its input ranges over", "inception", "unit", "none")
	return true
}

// ownSize gives a model that resizes by itself the image at its own size, or the fixed size of its input.
func (b *builder) ownSize(from string) {
	if b.staysOpen() {
		b.say("input.resize", string(repository.NoResize), from)
		return
	}
	b.say("input.resize", string(repository.Stretch), from)
}

// efficientNMS recognizes the outputs of TensorRT's EfficientNMS and its ONNX equivalents, as exporters of YOLOv6, v7 and v8 add them,
// and those of MMYOLO (projects/easydeploy), which have other names.
func efficientNMS(b *builder) bool {
	outputs, ok := b.finishedNamed("det_boxes", "det_scores", "det_classes")
	if !ok && b.outputEnding("num_dets") != nil {
		outputs, ok = b.finishedNamed("boxes", "scores", "labels")
	}
	if !ok {
		return false
	}
	const from = "outputs of EfficientNMS"
	b.sayFinished(outputs, from)
	b.boxesOf(repository.BoxXYXY, repository.SpaceInput, from)
	b.yoloInput("usual of YOLO detectors")
	return true
}

// yoloNAS recognizes exports of super-gradients (YOLO-NAS, PP-YOLOE) with suppression: outputs of boxes, scores and classes, or rows of
// the batch's row, the box, the score and the class (documentation/source/models_export.md). Unless preprocessing is off, the input is
// of uint8 or divided in the graph.
func yoloNAS(b *builder) bool {
	const usual = "YOLO-NAS's predict()"
	if outputs, ok := b.finishedNamed("pred_boxes", "pred_scores", "pred_classes"); ok {
		const from = "outputs of super-gradients"
		b.sayFinished(outputs, from)
		b.boxesOf(repository.BoxXYXY, repository.SpaceInput, from)
		b.yoloInput(usual)
		return true
	}
	flat := b.outputEnding("flat_predictions")
	if flat == nil || len(flat.Shape) != 2 {
		return false
	}
	b.finishedRows(*flat, "batch", "x1", "y1", "x2", "y2", "score", "class")
	b.detection("output " + flat.Name)
	b.finalBoxes()
	b.yoloInput(usual)
	return true
}

// torchvisionDetection recognizes torchvision's detectors: boxes [n,4] in pixels of the input, labels from 1 and scores, without a
// batch dimension. The graph resizes and normalizes.
func torchvisionDetection(b *builder) bool {
	outputs := b.boxesByShape()
	if outputs.boxes == nil || outputs.scores == nil || outputs.classes == nil || len(outputs.boxes.Shape) != 2 || len(b.graph.Inputs) != 1 {
		return false
	}
	if _, shift, _ := b.stem(); shift >= leastMean {
		b.detectron2(outputs)
		return true
	}
	const from = "outputs of torchvision's detectors"
	b.sayFinished(outputs, from)
	b.boxesOf(repository.BoxXYXY, repository.SpaceInput, from)
	b.fromOne("torchvision's class 0 is the background")
	b.assumed(func() {
		b.ownSize("torchvision's detectors resize by themselves")
		b.say("input.interpolation", repository.OpenCVLinear, from)
		b.color(from)
	})
	switch {
	case len(b.graph.Stems[b.image.Name]) == 0:
		b.assumed(func() { b.unit("torchvision's detectors normalize by themselves, from 0 to 1") })
	case !b.normalizedInside():
		b.askNormalization("model.onnx does not normalize its input, as torchvision's detectors do", "unit", "imagenet", "caffe", "none")
	}
	return true
}

// detectron2 sets the decoder and the preprocessing of Detectron2's exports by tracing (tools/deploy/export_model.py), whose outputs have
// the shapes of torchvision's: classes count from 0, and images are resized before, as DefaultPredictor does.
func (b *builder) detectron2(outputs finished) {
	const from, usual = "a mean of values from 0 to 255 and outputs of the shapes of Detectron2's", "Detectron2's DefaultPredictor"
	b.exporter = "Detectron2"
	b.sayFinished(outputs, from)
	b.boxesOf(repository.BoxXYXY, repository.SpaceInput, from)
	b.normalizedInside()
	b.assumed(func() {
		if b.staysOpen() {
			b.fit(800, 1333, usual)
			b.say("input.rounding", repository.RoundHalfUp, usual)
		}
		b.stretch(repository.PillowBilinear, usual)
		b.say("input.color", repository.ColorBGR, usual)
	})
}

// boxesByShape finds outputs of boxes [n,4], scores [n] and classes [n], the latter of an integer type or by name.
func (b *builder) boxesByShape() (f finished) {
	for i := range b.graph.Outputs {
		t := &b.graph.Outputs[i]
		n := len(t.Shape)
		isFloat := slices.Contains(repository.ScoreTypes(), t.DType)
		name := strings.ToLower(t.Name)
		switch {
		case n >= 2 && n <= 3 && isFloat && t.Shape[n-1] == 4 && f.boxes == nil:
			f.boxes = t
		case n >= 1 && n <= 2 && slices.Contains([]repository.DType{repository.Int64, repository.Int32}, t.DType) && f.classes == nil,
			n >= 1 && n <= 2 && (strings.Contains(name, "label") || strings.Contains(name, "class")) && f.classes == nil:
			f.classes = t
		case n >= 1 && n <= 2 && isFloat && f.scores == nil:
			f.scores = t
		}
	}
	return f
}

// finishedBoxes recognizes outputs of boxes, scores and, perhaps, classes of unknown origin.
func finishedBoxes(b *builder) bool {
	outputs := b.boxesByShape()
	if outputs.boxes == nil || outputs.scores == nil || len(outputs.scores.Shape) != len(outputs.boxes.Shape)-1 {
		return false
	}
	from := shapesOf(*outputs.boxes, *outputs.scores)
	if numbers := b.likeScores(*outputs.scores); outputs.classes == nil && len(numbers) > 1 {
		b.tellScores(numbers)
		b.ask("output.box_format", "the order of the numbers of a box is not in the file", repository.BoxXYXY, repository.BoxYXYX)
		outputs.scores, from = nil, shapeOf(*outputs.boxes)
	}
	b.sayFinished(outputs, from)
	b.unknownBoxes()
	return true
}

// tellScores asks which of several outputs are the scores of the boxes. Of two, the other one then is their classes.
func (b *builder) tellScores(numbers []string) {
	said := b.saidName("output.scores")
	others := slices.DeleteFunc(slices.Clone(numbers), func(name string) bool { return name == said })
	switch {
	case said == "":
		b.ask("output.scores", "several outputs may be the scores of the boxes", numbers...)
	case len(others) == 1:
		b.say("output.classes", others[0], "the other output of the shape of the scores")
	default:
		b.ask("output.classes", "several outputs may be the classes of the boxes", others...)
	}
}

// likeScores lists the outputs of real numbers that have the shape of the scores.
func (b *builder) likeScores(scores repository.TensorInfo) (list []string) {
	for _, t := range b.graph.Outputs {
		if slices.Contains(repository.ScoreTypes(), t.DType) && slices.Equal(t.Shape, scores.Shape) {
			list = append(list, t.Name)
		}
	}
	return list
}

// unknownBoxes asks for what nothing tells of a detector of unknown origin.
func (b *builder) unknownBoxes() {
	b.ask("output.box_space", "the unit of the boxes is not in the file", "unit", "input", "original")
	b.fixedSize(0, 0, "")
	b.assumed(func() { b.stretch(repository.OpenCVLinear, "usual"); b.color("usual") })
	if !b.normalizedInside() {
		b.askNormalization("model.onnx does not say what its input ranges over", "unit", "imagenet", "none", "inception")
	}
}
