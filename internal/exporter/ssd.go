package exporter

import (
	"slices"
	"strings"

	"fovea/internal/repository"
)

// ssd recognizes SSDs that end with Caffe's and OpenVINO's layer DetectionOutput, MLPerf's, which is in ONNX's model zoo, and boxes
// with a table of scores.
func ssd(b *builder) bool { return b.detectionOutput() || b.mlperfSSD() || b.scoreTable() }

// scoreTable recognizes boxes [N,n,4], before suppression, with a table of scores [N,n,classes]. SSDs whose priors are applied in the
// graph (pytorch-ssd, which jetson-inference trains, too, and UltraFace) have a softmax, whose first class is the background; detectors
// with a sigmoid, or with as many boxes as the cells of the input's grids (YOLO-NAS, DAMO-YOLO, PP-YOLOE), have none.
func (b *builder) scoreTable() bool {
	f := b.tables()
	if f.boxes == nil || f.scores == nil {
		return false
	}
	b.sayFinished(f, shapesOf(*f.boxes, *f.scores))
	b.assume("output.iou_threshold", 0.45, "usual, as the boxes are before suppression")
	isSoftmax := b.graph.OutputOps[f.scores.Name] == "Softmax"
	switch {
	case b.isCells(f.boxes.Shape[1], 1) && !isSoftmax:
		b.fitLabelsOrBackground(f.scores.Shape[2], f.scores.Name, "")
		b.assumed(func() {
			b.boxesOf(repository.BoxXYXY, repository.SpaceInput, "as many boxes as cells, as in YOLO-NAS and PP-YOLOE")
		})
		b.yoloInput("usual of YOLO detectors")
		return true
	case isSoftmax:
		b.ssdLabels(f.scores)
	default:
		b.fitLabelsOrBackground(f.scores.Shape[2], f.scores.Name, "")
	}
	if f.boxes.Name == "boxes" && f.scores.Name == "scores" && isSoftmax {
		b.pytorchSSD()
		return true
	}
	b.unknownBoxes()
	return true
}

// ssdLabels fits labels to a softmax whose first class is the background.
func (b *builder) ssdLabels(scores *repository.TensorInfo) {
	classes, n := scores.Shape[2], int64(len(b.labels))
	switch {
	case n > 0 && n == classes && b.dropBackground():
		b.say("output.class_first", 1, "the first label is the background")
	case n == 0:
		b.assume("output.class_first", 1, "the first class of a softmax over boxes is the background in SSD")
	default:
		b.fitLabelsOrBackground(classes, scores.Name, "the first class of SSD is the background")
	}
}

// pytorchSSD is the preprocessing of pytorch-ssd's configuration of MobileNet, and of UltraFace. Boxes are corners from 0 to 1.
func (b *builder) pytorchSSD() {
	const usual = "pytorch-ssd's configuration of MobileNet"
	b.assumed(func() {
		b.boxesOf(repository.BoxXYXY, repository.SpaceUnit, usual)
		b.stretch(repository.OpenCVLinear, usual)
		b.color(usual)
		b.sayNormalization(normalization{scale: 1, mean: []float64{127}, std: []float64{128}}, usual)
	})
	b.usualSize(300, usual)
}

// tables finds the only outputs of boxes [N,n,4] and of scores [N,n,classes]. Of two with four numbers, a softmax or the name
// tells the scores.
func (b *builder) tables() (f finished) {
	var others []*repository.TensorInfo
	for i := range b.graph.Outputs {
		t := &b.graph.Outputs[i]
		if len(t.Shape) != 3 || !slices.Contains(repository.ScoreTypes(), t.DType) {
			return finished{} // other outputs may tell more
		}
		op := b.graph.OutputOps[t.Name]
		switch {
		case f.scores == nil && (op == "Softmax" || op == "Sigmoid" && t.Shape[2] != 4):
			f.scores = t
		case f.boxes == nil && t.Shape[2] == 4 && !isNamedScores(t.Name):
			f.boxes = t
		default:
			others = append(others, t)
		}
	}
	if f.scores == nil && len(others) == 1 {
		f.scores, others = others[0], nil
	}
	if f.boxes == nil || f.scores == nil || len(others) > 0 || f.scores.Shape[2] < 0 || f.boxes.Shape[1] >= 0 && f.scores.Shape[1] >= 0 && f.boxes.Shape[1] != f.scores.Shape[1] {
		return finished{}
	}
	return f
}

// isNamedScores reports whether an output is called like scores.
func isNamedScores(name string) bool {
	return slices.ContainsFunc([]string{"score", "logit", "prob", "conf", "cls", "class"}, func(s string) bool {
		return strings.Contains(strings.ToLower(name), s)
	})
}

// detectionOutput recognizes Caffe's and OpenVINO's layer DetectionOutput: [1,1,n,7] with the batch's row, the class, the score and
// corners from 0 to 1.
func (b *builder) detectionOutput() bool {
	if len(b.graph.Outputs) != 1 {
		return false
	}
	out := b.graph.Outputs[0]
	if len(out.Shape) != 4 || out.Shape[3] != 7 || out.Shape[1] != 1 || !slices.Contains(repository.ScoreTypes(), out.DType) {
		return false
	}
	b.say("output.box_space", repository.SpaceUnit, "DetectionOutput's boxes are from 0 to 1")
	b.finishedRows(out, "batch", "class", "score", "x1", "y1", "x2", "y2")
	b.detection(shapeOf(out))
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
