package exporter

import (
	"fmt"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// ultralyticsObjects sets what SegmentationPredictor, PosePredictor and OBBPredictor do (models/yolo/*/predict.py): as the detector, with
// numbers after the classes of each box: factors of prototypes, points or an angle.
func (b *builder) ultralyticsObjects(task repository.Task) {
	const usual = "Ultralytics predict()"
	b.say("task", string(task), "metadata task")
	b.imgsz(640, usual)
	b.letterbox(usual+" LetterBox", b.stride())
	b.scaleBoxes()
	out := b.singleOutput(3)
	if out == nil {
		return
	}
	after := int64(1)
	switch task {
	case repository.InstanceSegmentation:
		after = b.prototypes()
	case repository.Pose:
		after = b.ultralyticsPoints()
	}
	if after < 1 {
		return
	}
	if b.endToEndWith(*out, after) {
		columns := []string{"x1", "y1", "x2", "y2", "score", "class"}
		if task == repository.OrientedDetection {
			columns = []string{"cx", "cy", "w", "h", "score", "class"}
		}
		b.finishedRows(*out, columns...)
	} else {
		b.ultralyticsRaw(*out, after)
	}
	b.ultralyticsLimits()
	b.yoloLimits(0.25, 0.7, usual)
}

// ultralyticsSemantic sets what SemanticSegmentationPredictor does: the detector's LetterBox, and a map of classes, or of their scores in
// formats that do not take the best in the graph. One class is 1, and 0 is the background.
func (b *builder) ultralyticsSemantic() {
	const usual = "Ultralytics predict()"
	b.imgsz(640, usual)
	b.letterbox(usual+" LetterBox", b.stride())
	out := b.mapOutput()
	if out == nil {
		b.fail("none of the outputs is a map of classes, [N,h,w] or [N,classes,h,w]: %s", describeAll(b.graph.Outputs))
		return
	}
	if len(b.labels) == 1 {
		b.labels, b.labelFrom = []string{"background", b.labels[0]}, b.labelFrom+", after the background"
	}
	b.classMapOf(*out)
}

// ultralyticsDepth sets what DepthPredictor does: a stretch, and a map of depths.
func (b *builder) ultralyticsDepth() {
	const usual = "Ultralytics predict()"
	b.imgsz(640, usual)
	b.stretch(repository.OpenCVLinear, usual+" LetterBox(scale_fill=True)")
	b.color(usual)
	b.unit(usual)
	b.labels, b.labelsSought = nil, true // a depth has none
	out := b.mapOutput()
	if out == nil {
		b.fail("none of the outputs is a map of depths, [N,h,w] or [N,1,h,w]: %s", describeAll(b.graph.Outputs))
		return
	}
	b.dense(*out, repository.Depth, repository.DecodeMap, shapeOf(*out))
	b.say("output.align_corners", true, "DepthPredictor.postprocess")
}

// endToEndWith is endToEnd for boxes with more numbers after the class.
func (b *builder) endToEndWith(out repository.TensorInfo, after int64) bool {
	rows, columns := out.Shape[1], out.Shape[2]
	if strings.EqualFold(b.graph.Metadata["end2end"], "true") || b.exportArgs()["nms"] == true {
		return columns == 6+after || columns < 0
	}
	return columns == 6+after && rows != 4+int64(len(b.labels))+after
}

// prototypes names the output of prototypes, [N,m,h,w], and returns m; 0 if there is none.
func (b *builder) prototypes() int64 {
	for _, t := range b.graph.Outputs {
		if len(t.Shape) == 4 && t.Shape[1] > 0 && slices.Contains(repository.ScoreTypes(), t.DType) {
			b.say("output.masks", t.Name, shapeOf(t))
			return t.Shape[1]
		}
	}
	b.fail("none of the outputs has prototypes of masks, [N,m,h,w]: %s", describeAll(b.graph.Outputs))
	return 0
}

// ultralyticsPoints takes the points of metadata kpt_shape, and returns how many numbers they have; 0 if that does not tell.
func (b *builder) ultralyticsPoints() int64 {
	v, _ := literal(b.graph.Metadata["kpt_shape"])
	shape := integers(v)
	if len(shape) != 2 || shape[0] < 1 || shape[0] > 1000 || shape[1] < 2 || shape[1] > 3 {
		b.fail("metadata kpt_shape: %.100q is not the number of points and of the numbers of each", b.graph.Metadata["kpt_shape"])
		return 0
	}
	b.say("output.keypoint_values", shape[1], "metadata kpt_shape")
	b.keypoints(int(shape[0]), b.ultralyticsPointNames(int(shape[0])), "metadata kpt_names")
	return shape[0] * shape[1]
}

// ultralyticsPointNames are those of metadata kpt_names: a list of n, or a dict with such lists by class, of which the first counts.
func (b *builder) ultralyticsPointNames(n int) []string {
	v, _ := literal(b.graph.Metadata["kpt_names"])
	if dict, ok := v.(map[string]any); ok {
		v = dict["0"]
	}
	names, ok := labelList(v)
	if !ok || len(names) != n {
		return nil
	}
	return names
}

// keypoints names n points: as a file says, or as COCO if there are as many, or else by number.
func (b *builder) keypoints(n int, names []string, from string) {
	if names != nil {
		b.say("output.keypoints", names, from)
		return
	}
	names = repository.COCOKeypoints()
	why := fmt.Sprintf("%d points are those of a person in COCO", n)
	if n != len(names) {
		names, why = make([]string, n), "names are in none of the files"
		for i := range names {
			names[i] = fmt.Sprintf("point_%d", i)
		}
	}
	b.assume("output.keypoints", names, why)
}
