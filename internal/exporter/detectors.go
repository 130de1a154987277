package exporter

import (
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

// rfdetr recognizes RF-DETR's outputs (rfdetr/deploy/export.py): dets [N,queries,4], and labels [N,queries,classes], which are logits.
func rfdetr(b *builder) bool {
	dets, labels := b.outputNamed("dets"), b.outputNamed("labels")
	if dets == nil || labels == nil || len(dets.Shape) != 3 || len(labels.Shape) != 3 || !slices.Contains(repository.ScoreTypes(), labels.DType) {
		return false
	}
	const from = "outputs of RF-DETR"
	b.extras()
	b.detection(from)
	b.say("output.decode", repository.DecodeDETR, from)
	b.say("output.boxes", dets.Name, from)
	b.say("output.scores", labels.Name, from)
	b.say("output.activation", repository.ActivationSigmoid, from)
	b.numberFromOne(labels.Shape[2], "RF-DETR numbers classes from 1 (RFDETR.class_names)")
	b.fitLabels(labels.Shape[2], labels.Name)
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
	logits, boxes := b.outputNamed("pred_logits", "logits"), b.outputNamed("pred_boxes", "boxes")
	if f := b.tables(); (logits == nil || boxes == nil) && f.boxes != nil && b.areQueries(f) {
		logits, boxes = f.scores, f.boxes
	}
	if logits == nil || boxes == nil || len(logits.Shape) != 3 || len(boxes.Shape) != 3 {
		return false
	}
	from := "outputs " + logits.Name + " and " + boxes.Name
	b.detection(from)
	b.transformersDetector("", *logits, *boxes)
	b.fixedSize(0, 0, "")
	b.assumed(func() {
		b.stretch(repository.PillowBilinear, "usual of DETR exports of fixed size")
		b.color("usual of DETR")
	})
	if !b.normalizedInside() {
		b.assumeImageNet("usual of DETR")
	}
	return true
}

// areQueries reports whether outputs are of queries, whatever their names: boxes end with a sigmoid, as centers and sizes from 0 to 1 do,
// and scores do not, being logits.
func (b *builder) areQueries(f finished) bool {
	op := b.graph.OutputOps[f.scores.Name]
	return b.graph.OutputOps[f.boxes.Name] == "Sigmoid" && op != "Sigmoid" && op != "Softmax" && f.boxes.Shape[1] <= 1000
}

// yolov7 recognizes YOLOv7's export with NMS for ONNX Runtime (models/experimental.py, ONNX_ORT): rows of the batch's row, the box,
// the class and the score.
func yolov7(b *builder) bool {
	if len(b.graph.Outputs) != 1 {
		return false
	}
	out := b.graph.Outputs[0]
	if len(out.Shape) != 2 || out.Shape[1] != 7 || b.graph.Ops["NonMaxSuppression"] == 0 && out.Shape[0] > 0 {
		return false
	}
	b.finishedRows(out, "batch", "x1", "y1", "x2", "y2", "class", "score")
	b.detection(shapeOf(out))
	b.finalBoxes()
	const usual = "YOLOv7 detect.py"
	b.usualSize(640, usual)
	b.assumed(func() {
		b.letterbox(usual+" letterbox", 0)
		b.say("input.inverse", repository.InverseGainUnrounded, usual+" scale_coords")
	})
	return true
}
