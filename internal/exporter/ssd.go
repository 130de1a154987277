package exporter

import (
	"slices"

	"fovea/internal/repository"
)

// ssd recognizes SSDs whose class 0 is the background: those of pytorch-ssd, which jetson-inference trains, too, of Caffe and OpenVINO,
// and of MLPerf, which is in ONNX's model zoo.
func ssd(b *builder) bool { return b.pytorchSSD() || b.detectionOutput() || b.mlperfSSD() }

// pytorchSSD recognizes pytorch-ssd (convert_to_caffe2_models.py): scores [N,n,classes] after a softmax and boxes [N,n,4] of corners from
// 0 to 1, before suppression.
func (b *builder) pytorchSSD() bool {
	scores, boxes := b.outputNamed("scores"), b.outputNamed("boxes")
	if scores == nil || boxes == nil || len(b.graph.Outputs) != 2 || len(scores.Shape) != 3 || len(boxes.Shape) != 3 || boxes.Shape[2] != 4 ||
		scores.Shape[2] < 2 || b.isCells(boxes.Shape[1], 1) || b.graph.OutputOps[scores.Name] == "Sigmoid" {
		return false
	}
	const from, usual = "outputs of pytorch-ssd", "pytorch-ssd's configuration of MobileNet"
	b.sayFinished(finished{boxes: boxes, scores: scores}, from)
	b.boxesOf(repository.BoxXYXY, repository.SpaceUnit, from)
	b.say("output.class_first", 1, "class 0 of pytorch-ssd is the background")
	b.fitLabels(scores.Shape[2], scores.Name)
	b.usualSize(300, usual)
	b.assumed(func() {
		b.say("output.iou_threshold", 0.45, usual)
		b.stretch(repository.OpenCVLinear, usual)
		b.color(usual)
		b.sayNormalization(1, []float64{127}, []float64{128}, usual)
	})
	return true
}

// detectionOutput recognizes Caffe's and OpenVINO's layer DetectionOutput: [1,1,n,7] with the batch's row, the class, the score and
// corners from 0 to 1.
func (b *builder) detectionOutput() bool {
	i := slices.IndexFunc(b.graph.Outputs, func(t repository.TensorInfo) bool {
		return len(t.Shape) == 4 && t.Shape[3] == 7 && t.Shape[1] == 1 && slices.Contains(repository.ScoreTypes(), t.DType)
	})
	if i < 0 || len(b.graph.Outputs) != 1 {
		return false
	}
	out := b.graph.Outputs[i]
	b.say("output.box_space", repository.SpaceUnit, "DetectionOutput's boxes are from 0 to 1")
	b.finishedRows(out, "batch", "class", "score", "x1", "y1", "x2", "y2")
	b.detection("shape of " + describe(out))
	b.dropBackground()
	b.assume("output.class_first", 1, "class 0 of DetectionOutput is usually the background")
	b.finalBoxes()
	b.fixedSize(0, 0, "")
	b.assumed(func() {
		b.stretch(repository.OpenCVLinear, "usual")
		b.say("input.color", repository.ColorBGR, "usual of Caffe and OpenVINO")
	})
	b.askNormalization("model.onnx does not say what its input ranges over", "none", "unit", "imagenet", "inception")
	return true
}

// mlperfSSD recognizes MLPerf's SSD with a ResNet-34 (vision/object_detection_segmentation/ssd in ONNX's model zoo): bboxes [1,n,4]
// of corners from 0 to 1, labels from 1 and scores.
func (b *builder) mlperfSSD() bool {
	outputs, ok := b.finishedNamed("bboxes", "scores", "labels")
	if !ok || len(outputs.boxes.Shape) != 3 || len(outputs.scores.Shape) != 2 {
		return false
	}
	const from, usual = "outputs of MLPerf's SSD", "MLPerf's SSD"
	b.sayFinished(outputs, from)
	b.boxesOf(repository.BoxXYXY, repository.SpaceUnit, from)
	b.fromOne("class 0 of MLPerf's SSD is the background")
	b.usualSize(1200, usual)
	b.assumed(func() { b.stretch(repository.PillowBilinear, usual); b.color(usual) })
	b.assumeImageNet(usual)
	return true
}
