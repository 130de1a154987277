package exporter

import (
	"fmt"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// inputNamed reports whether the model has an input of that name.
func (b *builder) inputNamed(name string) bool {
	return slices.ContainsFunc(b.graph.Inputs, func(t repository.TensorInfo) bool { return strings.TrimSuffix(t.Name, ":0") == name })
}

// detection sets the task, and takes labels from the usual files.
func (b *builder) detection(from string) {
	b.say("task", string(repository.Detection), from)
	b.findLabels()
}

// finished are the outputs of a model whose boxes are finished. classes is nil where scores has one for each class.
type finished struct{ boxes, scores, classes *repository.TensorInfo }

// finishedNamed finds outputs of boxes, scores and classes by their names.
func (b *builder) finishedNamed(boxes, scores, classes string) (f finished, ok bool) {
	f = finished{b.outputNamed(boxes), b.outputNamed(scores), b.outputNamed(classes)}
	return f, f.boxes != nil && f.scores != nil && f.classes != nil
}

// sayFinished sets the decoder of finished boxes.
func (b *builder) sayFinished(f finished, from string) {
	b.detection(from)
	b.say("output.decode", repository.DecodeBoxes, from)
	b.say("output.boxes", f.boxes.Name, from)
	b.say("output.scores", f.scores.Name, from)
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
		return false
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

// ownSize gives a model that resizes by itself the image at its own size, or the fixed size of its input.
func (b *builder) ownSize(from string) {
	if b.isOpen() && b.settings["input.width"] == "" {
		b.say("input.resize", string(repository.NoResize), from)
		return
	}
	b.say("input.resize", string(repository.Stretch), from)
}

// efficientNMS recognizes the outputs of TensorRT's EfficientNMS and its ONNX equivalents, as YOLOv6, v7 and v8 exporters add them.
func efficientNMS(b *builder) bool {
	outputs, ok := b.finishedNamed("det_boxes", "det_scores", "det_classes")
	if !ok {
		return false
	}
	const from = "outputs of EfficientNMS"
	b.sayFinished(outputs, from)
	b.boxesOf(repository.BoxXYXY, repository.SpaceInput, from)
	b.usualSize(640, "usual of YOLO")
	b.assumed(func() { b.letterbox("usual of YOLO detectors", 0) })
	return true
}

// rfdetr recognizes RF-DETR's outputs (rfdetr/deploy/export.py): dets [N,queries,4], and labels [N,queries,classes], which are logits.
func rfdetr(b *builder) bool {
	dets, labels := b.outputNamed("dets"), b.outputNamed("labels")
	if dets == nil || labels == nil || len(dets.Shape) != 3 || len(labels.Shape) != 3 || !slices.Contains(repository.ScoreTypes(), labels.DType) {
		return false
	}
	const from = "outputs of RF-DETR"
	b.detection(from)
	b.say("output.decode", repository.DecodeDETR, from)
	b.say("output.boxes", dets.Name, from)
	b.say("output.scores", labels.Name, from)
	b.say("output.activation", repository.ActivationSigmoid, from)
	b.fitLabelsOrBackground(labels.Shape[2], labels.Name, "RF-DETR numbers classes from 1 (RFDETR.class_names)")
	b.finalBoxes()
	const usual = "RF-DETR's predict()"
	b.fixedSize(0, 0, "")
	b.assumed(func() { b.stretch(repository.PillowBilinear, usual); b.color(usual) })
	b.assumeImageNet(usual)
	return true
}

// deployedDETR recognizes the deployed form of RT-DETR, D-FINE and DEIM (tools/deployment/export_onnx.py): the size of the image
// is a second input, and boxes are in its pixels.
func deployedDETR(b *builder) bool {
	outputs, ok := b.finishedNamed("boxes", "scores", "labels")
	if !ok || !b.inputNamed("orig_target_sizes") {
		return false
	}
	const from = "outputs and inputs of RT-DETR's export_onnx.py"
	b.sayFinished(outputs, from)
	b.boxesOf(repository.BoxXYXY, repository.SpaceOriginal, from)
	b.say("input.extra", []repository.Extra{{Name: "orig_target_sizes", Value: repository.OriginalSizeWH}}, from)
	const usual = "RT-DETR's tools"
	b.usualSize(640, usual)
	b.assumed(func() {
		b.stretch(repository.PillowBilinear, usual)
		b.color(usual)
		b.unit(usual + "; some variants normalize as for ImageNet")
	})
	return true
}

// detr recognizes queries with class logits and boxes: DETR and what follows it.
func detr(b *builder) bool {
	logits, boxes := b.outputNamed("pred_logits", "logits"), b.outputNamed("pred_boxes")
	if logits == nil || boxes == nil || len(logits.Shape) != 3 {
		return false
	}
	from := "outputs " + logits.Name + " and " + boxes.Name
	b.detection(from)
	b.transformersDetector("", *logits, *boxes)
	if len(b.labels) == 0 && b.settings["output.activation"] == "" {
		b.ask("output.activation", "DETR has softmax with a last class for no object, its successors have sigmoid", "sigmoid", "softmax")
	}
	b.fixedSize(0, 0, "")
	b.assumed(func() { b.stretch(repository.PillowBilinear, "usual of DETR exports of fixed size") })
	b.color("usual")
	b.assumeImageNet("usual of DETR")
	return true
}

// torchvisionDetection recognizes torchvision's detectors: boxes [n,4] in pixels of the input, labels from 1 and scores, without a
// batch dimension. The graph resizes and normalizes.
func torchvisionDetection(b *builder) bool {
	outputs := b.boxesByShape()
	if outputs.boxes == nil || outputs.scores == nil || outputs.classes == nil || len(outputs.boxes.Shape) != 2 || len(b.graph.Inputs) != 1 {
		return false
	}
	if mask := slices.ContainsFunc(b.graph.Outputs, func(t repository.TensorInfo) bool { return len(t.Shape) == 4 }); mask {
		b.unsupported("instance segmentation")
		return true
	}
	if points := slices.ContainsFunc(b.graph.Outputs, func(t repository.TensorInfo) bool { return len(t.Shape) == 3 && t.Shape[2] == 3 }); points {
		b.unsupported("keypoints")
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
		b.unit("torchvision's detectors normalize by themselves, from 0 to 1")
	})
	return true
}

// boxesByShape finds outputs of boxes [n,4], scores [n] and classes [n], the latter of an integer type or by name.
func (b *builder) boxesByShape() (f finished) {
	for i := range b.graph.Outputs {
		t := &b.graph.Outputs[i]
		n := len(t.Shape)
		isFloat := slices.Contains(repository.ScoreTypes(), t.DType)
		name := strings.ToLower(t.Name)
		switch {
		case n >= 2 && isFloat && t.Shape[n-1] == 4 && f.boxes == nil && (n == 2 || strings.Contains(name, "box") || n == 3):
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

// yolov7 recognizes YOLOv7's export with NMS for ONNX Runtime (models/experimental.py, ONNX_ORT): rows of the batch's row, the box,
// the class and the score.
func yolov7(b *builder) bool {
	i := slices.IndexFunc(b.graph.Outputs, func(t repository.TensorInfo) bool { return len(t.Shape) == 2 && t.Shape[1] == 7 })
	if i < 0 || len(b.graph.Outputs) != 1 || b.graph.Ops["NonMaxSuppression"] == 0 && b.graph.Outputs[i].Shape[0] > 0 {
		return false
	}
	from := "shape of " + describe(b.graph.Outputs[i])
	b.detection(from)
	b.say("output.decode", repository.DecodeRows, from)
	b.say("output.columns", []string{"batch", "x1", "y1", "x2", "y2", "class", "score"}, from)
	b.say("output.box_space", repository.SpaceInput, from)
	b.finalBoxes()
	const usual = "YOLOv7 detect.py"
	b.usualSize(640, usual)
	b.assumed(func() { b.letterbox(usual+" letterbox", 0) })
	return true
}

// finishedBoxes recognizes outputs of boxes, scores and, perhaps, classes of unknown origin.
func finishedBoxes(b *builder) bool {
	outputs := b.boxesByShape()
	if outputs.boxes == nil || outputs.scores == nil || len(outputs.scores.Shape) != len(outputs.boxes.Shape)-1 {
		return false
	}
	b.sayFinished(outputs, fmt.Sprintf("shapes of %s and %s", describe(*outputs.boxes), describe(*outputs.scores)))
	b.ask("output.box_space", "the unit of the boxes is not in the file", "unit", "input", "original")
	b.fixedSize(0, 0, "")
	b.assumed(func() { b.stretch(repository.OpenCVLinear, "usual") })
	b.color("usual")
	b.askNormalization("model.onnx does not say what its input ranges over", "unit", "imagenet", "none", "inception")
	return true
}
