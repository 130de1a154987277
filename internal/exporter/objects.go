package exporter

import (
	"slices"
	"strings"

	"fovea/internal/repository"
)

// extras sets the task of a detector whose outputs have more than boxes: masks or points. It precedes detection, which sets the task if this does
// not.
func (b *builder) extras() {
	if points := b.outputOfPoints(); points != nil {
		from := shapeOf(*points)
		n := len(points.Shape)
		b.say("task", string(repository.Pose), from)
		b.say("output.points", points.Name, from)
		if points.Shape[n-1] > 0 {
			b.say("output.keypoint_values", points.Shape[n-1], from)
		}
		if k := int(points.Shape[n-2]); k > 0 {
			b.keypoints(k, nil, "")
		} else {
			b.assume("output.keypoints", repository.COCOKeypoints(), "model.onnx leaves the number of points open; torchvision's models have those of COCO")
		}
		for _, t := range b.graph.Outputs {
			if k := len(t.Shape); k == n-1 && (t.Shape[k-1] == points.Shape[n-2] || t.Shape[k-1] < 1) && strings.Contains(strings.ToLower(t.Name), "score") {
				b.say("output.point_scores", t.Name, shapeOf(t))
			}
		}
		return
	}
	if masks := b.outputOfMasks(); masks != nil {
		from := shapeOf(*masks)
		b.say("task", string(repository.InstanceSegmentation), from)
		b.say("output.masks", masks.Name, from)
		if n := len(masks.Shape); masks.Shape[n-1] > 0 && masks.Shape[n-1] <= maxMaskSide {
			b.say("output.mask_space", repository.MaskBox, from)
		} else {
			b.say("output.mask_space", repository.MaskInput, from)
		}
	}
}

// maxMaskSide is the largest side of a mask over a box: Mask R-CNN's is 28, and 33 in TensorFlow's.
const maxMaskSide = 64

// outputOfPoints finds points [n,k,2] or [n,k,3], behind a dimension of the batch or not. torchvision's legacy exports leave both sizes open, and are
// known by the name.
func (b *builder) outputOfPoints() *repository.TensorInfo {
	for i, t := range b.graph.Outputs {
		n := len(t.Shape)
		if n < 3 || n > 4 || !slices.Contains(repository.ScoreTypes(), t.DType) {
			continue
		}
		if t.Name == "keypoints" && t.Shape[n-1] < 1 && t.Shape[n-2] < 1 {
			return &b.graph.Outputs[i]
		}
		if t.Shape[n-1] != 2 && t.Shape[n-1] != 3 {
			continue
		}
		if k := t.Shape[n-2]; k > 0 && k <= 1000 && !isMask(t) {
			return &b.graph.Outputs[i]
		}
	}
	return nil
}

// outputOfMasks finds masks of objects: by name, or by a square side that heads of Mask R-CNN have.
func (b *builder) outputOfMasks() *repository.TensorInfo {
	for i, t := range b.graph.Outputs {
		n := len(t.Shape)
		if n < 3 || !slices.Contains(repository.ScoreTypes(), t.DType) {
			continue
		}
		if square := n == 4 && t.Shape[n-1] == t.Shape[n-2] && slices.Contains([]int64{14, 15, 28, 33, 56}, t.Shape[n-1]); square || isMask(t) {
			return &b.graph.Outputs[i]
		}
	}
	return nil
}

// yoloInstances recognizes YOLO's instance segmentation without metadata: columns of a box, classes and factors, [N,4+C+m,n], and
// prototypes [N,m,h,w].
func yoloInstances(b *builder) bool {
	if len(b.graph.Outputs) != 2 {
		return false
	}
	var table, prototypes *repository.TensorInfo
	for i, t := range b.graph.Outputs {
		switch len(t.Shape) {
		case 3:
			table = &b.graph.Outputs[i]
		case 4:
			prototypes = &b.graph.Outputs[i]
		}
	}
	if table == nil || prototypes == nil || prototypes.Shape[1] < 1 || table.Shape[1] <= 4+prototypes.Shape[1] || !b.isCells(table.Shape[2], 1) {
		return false
	}
	b.say("task", string(repository.InstanceSegmentation), shapesOf(*table, *prototypes))
	b.table(*table, repository.DecodeYOLO)
	b.say("output.masks", prototypes.Name, shapeOf(*prototypes))
	b.fitLabels(table.Shape[1]-4-prototypes.Shape[1], table.Name)
	const usual = "usual of YOLO detectors"
	b.yoloInput(usual)
	b.assumed(func() { b.yoloLimits(0.25, 0.7, usual) })
	return true
}

// yunet recognizes YuNet's faces by the names of its outputs (tools/yunet2onnx.py of libfacedetection.train). OpenCV's FaceDetectorYN pads
// images at the right and the bottom to multiples of 32.
func yunet(b *builder) bool {
	for _, kind := range []string{"cls_8", "obj_8", "bbox_8", "kps_8"} {
		if b.outputNamed(kind) == nil {
			return false
		}
	}
	const from, usual = "outputs of YuNet", "OpenCV's FaceDetectorYN"
	b.say("task", string(repository.Pose), from)
	b.say("output.decode", repository.DecodeYuNet, from)
	b.findLabels()
	b.takeLabels([]string{"face"}, from)
	if b.staysOpen() {
		b.say("input.resize", string(repository.NoResize), usual)
		b.say("input.stride", 32, usual)
	} else {
		b.assumed(func() {
			b.say("input.resize", string(repository.Letterbox), usual)
			b.say("input.place", "top_left", usual)
			b.say("input.interpolation", repository.OpenCVLinear, usual)
		})
	}
	b.say("input.color", repository.ColorBGR, usual)
	b.assumed(func() {
		b.say("output.score_threshold", 0.6, "usual of YuNet")
		b.say("output.iou_threshold", 0.3, usual)
		b.say("output.max_boxes", 750, "usual of YuNet")
	})
	return true
}
