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

// boxesOutputs sets outputs of boxes, scores and classes.
func (b *builder) boxesOutputs(boxes, scores, classes *repository.TensorInfo, format, space, from string) {
	b.say("output.decode", repository.DecodeBoxes, from)
	b.say("output.boxes", boxes.Name, from)
	b.say("output.scores", scores.Name, from)
	if classes != nil {
		b.say("output.classes", classes.Name, from)
	}
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
	boxes, scores, classes := b.outputNamed("detection_boxes"), b.outputNamed("detection_scores"), b.outputNamed("detection_classes")
	if boxes == nil || scores == nil || classes == nil {
		return false
	}
	const from = "outputs of TensorFlow's Object Detection API"
	b.detection(from)
	b.boxesOutputs(boxes, scores, classes, repository.BoxYXYX, repository.SpaceUnit, from)
	b.fromOne("label maps of TensorFlow's Object Detection API count from 1")
	b.finalBoxes()
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

// mmdeploy recognizes the outputs of MMDeploy's detectors: dets [N,n,5] with x1, y1, x2, y2 and the score, and labels [N,n].
func mmdeploy(b *builder) bool {
	dets, labels := b.outputNamed("dets"), b.outputNamed("labels")
	if dets == nil || labels == nil || slices.Contains(repository.ScoreTypes(), labels.DType) {
		return false
	}
	if n := len(dets.Shape); n < 2 || dets.Shape[n-1] != 5 && dets.Shape[n-1] != -1 {
		return false
	}
	const from = "outputs of MMDeploy"
	b.detection(from)
	b.say("output.decode", repository.DecodeRows, from)
	b.say("output.name", dets.Name, from)
	b.say("output.columns", []string{"x1", "y1", "x2", "y2", "score"}, from)
	b.say("output.classes", labels.Name, from)
	b.say("output.box_space", repository.SpaceInput, from)
	b.finalBoxes()
	b.mmdetPipeline()
	return true
}

// mmdetPipeline reads MMDeploy's pipeline.json; without it, MMDetection's usual test pipeline is assumed.
func (b *builder) mmdetPipeline() {
	const usual = "MMDetection's test pipeline"
	steps := b.pipelineSteps()
	pad, normalizes := 0.0, false
	for _, step := range steps {
		switch kind, _ := step["type"].(string); strings.TrimPrefix(kind, "mmdet.") {
		case "Resize":
			size := integers(step["size"])
			if size == nil {
				size = integers(step["scale"])
			}
			if len(size) == 2 {
				b.fixedSize(size[0], size[1], "pipeline.json Resize")
			}
			if step["keep_ratio"] == false {
				b.say("input.resize", string(repository.Stretch), "pipeline.json Resize")
			}
		case "Normalize":
			normalizes = true
			if toRGB, ok := step["to_rgb"].(bool); ok && !toRGB {
				b.say("input.color", repository.ColorBGR, "pipeline.json Normalize")
			}
			if mean, std := floats(step["mean"]), floats(step["std"]); mean != nil && std != nil {
				b.sayNormalization(1, mean, std, "pipeline.json Normalize")
			}
		case "Pad":
			pad = processor{dict: step}.number("pad_val", 0)
			if v, ok := step["pad_val"].(map[string]any); ok {
				if list := floats(v["img"]); len(list) > 0 {
					pad = list[0]
				}
			}
		}
	}
	if len(steps) > 0 && !normalizes { // images stay as OpenCV reads them
		b.say("input.color", repository.ColorBGR, "pipeline.json has no Normalize")
		b.sayNormalization(1, nil, nil, "pipeline.json has no Normalize")
	}
	b.assumed(func() {
		if len(steps) == 0 && !b.isOpen() { // process_model_config of MMDeploy's codebase/mmdet
			b.say("input.resize", string(repository.Stretch), "MMDeploy resizes to a fixed size without the aspect ratio")
		}
		b.say("input.resize", string(repository.Letterbox), usual)
		if b.values["input.resize"].text == string(repository.Letterbox) {
			b.say("input.place", "top_left", usual)
			b.say("input.fill", []float64{pad}, usual)
		}
		b.say("input.interpolation", repository.OpenCVLinear, usual)
		b.color(usual)
	})
	b.fixedSize(0, 0, "")
	if len(steps) == 0 {
		b.askNormalization("there is no pipeline.json next to model.onnx", "imagenet", "none", "unit")
	}
}

// pipelineSteps lists the transforms of MMDeploy's pipeline.json, whose tasks of preprocessing hold them.
func (b *builder) pipelineSteps() (steps []map[string]any) {
	file := b.readJSON("pipeline.json")
	pipeline, _ := file["pipeline"].(map[string]any)
	if pipeline == nil {
		pipeline = file
	}
	tasks, _ := pipeline["tasks"].([]any)
	for _, t := range tasks {
		task, _ := t.(map[string]any)
		list, _ := task["transforms"].([]any)
		for _, s := range list {
			if step, ok := s.(map[string]any); ok {
				steps = append(steps, step)
			}
		}
	}
	return steps
}

// efficientNMS recognizes the outputs of TensorRT's EfficientNMS and its ONNX equivalents, as YOLOv6, v7 and v8 exporters add them.
func efficientNMS(b *builder) bool {
	boxes, scores, classes := b.outputNamed("det_boxes"), b.outputNamed("det_scores"), b.outputNamed("det_classes")
	if boxes == nil || scores == nil || classes == nil {
		return false
	}
	const from = "outputs of EfficientNMS"
	b.detection(from)
	b.boxesOutputs(boxes, scores, classes, repository.BoxXYXY, repository.SpaceInput, from)
	b.finalBoxes()
	b.fixedSize(640, 640, "usual of YOLO")
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
	b.fitLabels(labels.Shape[2], labels.Name)
	b.finalBoxes()
	const usual = "RF-DETR's predict()"
	b.fixedSize(0, 0, "")
	b.assumed(func() { b.stretch(repository.PillowBilinear, usual); b.color(usual) })
	b.assumeNormalization("imagenet", usual)
	return true
}

// deployedDETR recognizes the deployed form of RT-DETR, D-FINE and DEIM (tools/deployment/export_onnx.py): the size of the image
// is a second input, and boxes are in its pixels.
func deployedDETR(b *builder) bool {
	boxes, scores, labels := b.outputNamed("boxes"), b.outputNamed("scores"), b.outputNamed("labels")
	if boxes == nil || scores == nil || labels == nil || !b.inputNamed("orig_target_sizes") {
		return false
	}
	const from = "outputs and inputs of RT-DETR's export_onnx.py"
	b.detection(from)
	b.boxesOutputs(boxes, scores, labels, repository.BoxXYXY, repository.SpaceOriginal, from)
	b.say("input.extra", []repository.Extra{{Name: "orig_target_sizes", Value: repository.OriginalSizeWH}}, from)
	b.finalBoxes()
	const usual = "RT-DETR's tools"
	b.fixedSize(640, 640, usual)
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
	b.assumeNormalization("imagenet", "usual of DETR")
	return true
}

// torchvisionDetection recognizes torchvision's detectors: boxes [n,4] in pixels of the input, labels from 1 and scores, without a
// batch dimension. The graph resizes and normalizes.
func torchvisionDetection(b *builder) bool {
	boxes, scores, labels := b.boxesByShape()
	if boxes == nil || scores == nil || labels == nil || len(boxes.Shape) != 2 || len(b.graph.Inputs) != 1 {
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
	b.detection(from)
	b.boxesOutputs(boxes, scores, labels, repository.BoxXYXY, repository.SpaceInput, from)
	b.fromOne("torchvision's class 0 is the background")
	b.finalBoxes()
	b.assumed(func() {
		b.ownSize("torchvision's detectors resize by themselves")
		b.say("input.interpolation", repository.OpenCVLinear, from)
		b.color(from)
		b.unit("torchvision's detectors normalize by themselves, from 0 to 1")
	})
	return true
}

// boxesByShape finds outputs of boxes [n,4], scores [n] and classes [n], the latter of an integer type or by name.
func (b *builder) boxesByShape() (boxes, scores, classes *repository.TensorInfo) {
	for i := range b.graph.Outputs {
		t := &b.graph.Outputs[i]
		n := len(t.Shape)
		isFloat := slices.Contains(repository.ScoreTypes(), t.DType)
		name := strings.ToLower(t.Name)
		switch {
		case n >= 2 && isFloat && t.Shape[n-1] == 4 && boxes == nil && (n == 2 || strings.Contains(name, "box") || n == 3):
			boxes = t
		case n >= 1 && n <= 2 && slices.Contains([]repository.DType{repository.Int64, repository.Int32}, t.DType) && classes == nil,
			n >= 1 && n <= 2 && (strings.Contains(name, "label") || strings.Contains(name, "class")) && classes == nil:
			classes = t
		case n >= 1 && n <= 2 && isFloat && scores == nil:
			scores = t
		}
	}
	return boxes, scores, classes
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
	b.fixedSize(640, 640, usual)
	b.assumed(func() { b.letterbox(usual+" letterbox", 0) })
	return true
}

// cellCounts are the numbers of boxes of a grid for each stride, from 8 to 32, or to 64 as in P6 models.
func cellCounts(width, height, anchors int64) []int64 {
	counts, sum := []int64{}, int64(0)
	for stride := int64(8); stride <= 64; stride *= 2 {
		if sum += anchors * (width / stride) * (height / stride); stride >= 32 {
			counts = append(counts, sum)
		}
	}
	return counts
}

// yoloByShape recognizes YOLO detectors without metadata by the shape of their output.
func yoloByShape(b *builder) bool {
	if b.rawGrids() {
		b.detection("raw grids")
		b.fixedSize(640, 640, "usual of YOLO")
		b.assumed(func() { b.letterbox("usual of YOLO detectors", 0) })
		return true
	}
	var out *repository.TensorInfo
	for i, t := range b.graph.Outputs {
		if len(t.Shape) == 3 && slices.Contains(repository.ScoreTypes(), t.DType) && out == nil {
			out = &b.graph.Outputs[i]
		}
	}
	if out == nil || slices.ContainsFunc(b.graph.Outputs, func(t repository.TensorInfo) bool { return len(t.Shape) == 4 }) {
		return false
	}
	rows, columns := out.Shape[1], out.Shape[2]
	from := "shape of " + describe(*out)
	const usual = "usual of YOLO detectors"
	width, height := b.size()
	cells := func(anchors int64) bool { return rows > 0 && slices.Contains(cellCounts(width, height, anchors), rows) }
	switch {
	case columns == 6 && rows > 0 && rows <= 1000:
		b.detection(from)
		b.yoloOutput(*out, true)
	case columns > 5 && cells(1) && b.graph.Ops["Exp"] == 0 && out.Name == "output":
		yoloxRaw(b, *out, from)
		return true
	case columns > 5 && rows > columns && (cells(3) || cells(1)):
		b.detection(from)
		b.say("output.decode", repository.DecodeYOLOv5, from)
		b.fitLabels(columns-repository.YOLOXHead, out.Name)
		if cells(1) && out.Name == "output" {
			yoloxInput(b)
			return true
		}
	case rows > 4 && columns > rows:
		b.detection(from)
		b.say("output.decode", repository.DecodeYOLO, from)
		b.fitLabels(rows-4, out.Name)
	default:
		return false
	}
	if len(b.graph.Outputs) > 1 {
		b.say("output.name", out.Name, from)
	}
	b.fixedSize(640, 640, usual)
	b.assumed(func() { b.letterbox(usual, 0) })
	b.yoloLimits(0.25, 0.45, usual)
	return true
}

// yoloxRaw sets the decoder of YOLOX exported without --decode_in_inference.
func yoloxRaw(b *builder, out repository.TensorInfo, from string) {
	b.detection(from)
	b.say("output.decode", repository.DecodeYOLOX, from+", and no Exp in model.onnx: not decoded")
	b.fitLabels(out.Shape[2]-repository.YOLOXHead, out.Name)
	yoloxInput(b)
}

// yoloxInput is YOLOX's preproc (yolox/data/data_augment.py): top left, gray 114, BGR from 0 to 255.
func yoloxInput(b *builder) {
	const usual = "YOLOX's preproc"
	b.exporter = "YOLOX"
	b.assumed(func() {
		b.say("input.resize", string(repository.Letterbox), usual)
		b.say("input.place", "top_left", usual)
		b.say("input.fill", []float64{114}, usual)
		b.say("input.interpolation", repository.OpenCVLinear, usual)
		b.say("input.color", repository.ColorBGR, usual)
		b.yoloLimits(0.3, 0.45, "YOLOX's demo")
	})
	b.fixedSize(640, 640, usual)
}

// finishedBoxes recognizes outputs of boxes, scores and, perhaps, classes of unknown origin.
func finishedBoxes(b *builder) bool {
	boxes, scores, classes := b.boxesByShape()
	if boxes == nil || scores == nil || len(scores.Shape) != len(boxes.Shape)-1 {
		return false
	}
	from := fmt.Sprintf("shapes of %s and %s", describe(*boxes), describe(*scores))
	b.detection(from)
	b.say("output.decode", repository.DecodeBoxes, from)
	b.say("output.boxes", boxes.Name, from)
	b.say("output.scores", scores.Name, from)
	if classes != nil {
		b.say("output.classes", classes.Name, from)
	}
	b.ask("output.box_space", "the unit of the boxes is not in the file", "unit", "input", "original")
	b.finalBoxes()
	b.fixedSize(0, 0, "")
	b.assumed(func() { b.stretch(repository.OpenCVLinear, "usual") })
	b.color("usual")
	b.askNormalization("model.onnx does not say what its input ranges over", "unit", "imagenet", "none", "inception")
	return true
}
