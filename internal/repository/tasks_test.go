package repository

import (
	"slices"
	"strings"
	"testing"
)

func TestTasksHaveDefaults(t *testing.T) {
	for what, c := range map[string]struct {
		file string
		ok   func(o *Output) bool
	}{
		"rotated boxes":          {"task: oriented_detection\noutput: {decode: yolo}", func(o *Output) bool { return o.NMS == NMSFast && o.IoU == 0.45 && o.Score == 0.3 && o.MaxBoxes == 100 }},
		"finished rotated boxes": {"task: oriented_detection\noutput: {decode: rows, columns: [cx, cy, w, h, score, class]}", func(o *Output) bool { return o.NMS == NMSNone }},
		"masks of prototypes": {"task: instance_segmentation\noutput: {decode: yolo, masks: p}", func(o *Output) bool {
			return o.NMS == NMSGreedy && o.Mask.Threshold == 0.5 && o.Mask.Space == "" && o.Mask.Activation == ""
		}},
		"masks of boxes":   {"task: instance_segmentation\noutput: {decode: boxes, boxes: b, scores: s, masks: m, box_space: input}", func(o *Output) bool { return o.Mask.Space == MaskBox && o.Mask.Activation == ActivationNone }},
		"masks of queries": {"task: instance_segmentation\noutput: {decode: detr, boxes: b, scores: s, masks: m}", func(o *Output) bool { return o.Mask.Space == MaskInput && o.Mask.Activation == ActivationSigmoid }},
		"masks of rows":    {"task: instance_segmentation\noutput: {decode: rows, masks: m, mask_space: box}", func(o *Output) bool { return o.Mask.Activation == ActivationNone }},
		"points":           {"task: pose\noutput: {decode: yolo, keypoints: [a, b]}", func(o *Output) bool { return o.Point.Values == 3 && len(o.Point.Skeleton) == 0 }},
		"points of COCO":   {"task: pose\noutput: {decode: yolo, keypoints: [" + strings.Join(COCOKeypoints(), ", ") + "]}", func(o *Output) bool { return len(o.Point.Skeleton) == 19 }},
		"a skeleton":       {"task: pose\noutput: {decode: yolo, keypoints: [a, b], skeleton: [[0, 1], [1, 0]]}", func(o *Output) bool { return len(o.Point.Skeleton) == 2 && o.Point.Skeleton[1][0] == 1 }},
		"faces": {"task: pose\noutput: {decode: yunet}", func(o *Output) bool {
			return len(o.Point.Keypoints) == 5 && o.Point.Values == 2 && len(o.Strides) == 3 && o.NMS == NMSGreedy
		}},
		"an anomaly":              {"task: anomaly\noutput: {decode: map}", func(o *Output) bool { return o.Score == 0.5 && o.MaxBoxes == 0 && o.NMS == "" }},
		"any anomaly":             {"task: anomaly\noutput: {decode: map, score_threshold: 12}", func(o *Output) bool { return o.Score == 12 }},
		"a vector":                {"task: embedding\noutput: {decode: vector}", func(o *Output) bool { return o.Dense.Normalize == NormalizeL2 }},
		"an image":                {"task: image\noutput: {decode: image}", func(o *Output) bool { return slices.Equal(o.Dense.Range, []float64{0, 1}) }},
		"a map of classes":        {"task: semantic_segmentation\noutput: {decode: logits_map, map_layout: nhwc}", func(o *Output) bool { return o.Dense.Layout == "nhwc" && o.Score == 0 }},
		"depth of the only place": {"task: depth\noutput: {decode: map}", func(o *Output) bool { return o.Score == 0 }},
	} {
		d, err := parseFile([]byte(c.file), "m.yaml")
		if err != nil || !c.ok(&d.Output) {
			t.Errorf("%s: %v, %+v", what, err, d.Output)
		}
	}
}

func TestTasksNameWhatIsWrong(t *testing.T) {
	for what, c := range map[string]struct{ file, want string }{
		"no masks":                     {"task: instance_segmentation\noutput: {decode: yolo}", "output.masks: is required"},
		"masks of a detector":          {"task: detection\noutput: {decode: yolo, masks: p}", "output.masks: only applies with task: instance_segmentation"},
		"a space of prototypes":        {"task: instance_segmentation\noutput: {decode: yolo, masks: p, mask_space: box}", "output.mask_space: only applies with decode: boxes, detr or rows"},
		"a threshold of 1":             {"task: instance_segmentation\noutput: {decode: yolo, masks: p, mask_threshold: 1}", "output.mask_threshold: 1 is out of range"},
		"no points":                    {"task: pose\noutput: {decode: yolo}", "output.keypoints: has 0 names"},
		"a point twice":                {"task: pose\noutput: {decode: yolo, keypoints: [a, a]}", "output.keypoints[1]: \"a\" is empty or listed twice"},
		"four numbers of a point":      {"task: pose\noutput: {decode: yolo, keypoints: [a], keypoint_values: 4}", "output.keypoint_values: 4 is out of range (2–3)"},
		"a bone to nowhere":            {"task: pose\noutput: {decode: yolo, keypoints: [a, b], skeleton: [[0, 2]]}", "output.skeleton[0]: [0 2] is no pair of points from 0 to 1"},
		"points that no output has":    {"task: pose\noutput: {decode: boxes, boxes: b, scores: s, box_space: input, keypoints: [a]}", "output.points: is required"},
		"points of an output of yolo":  {"task: pose\noutput: {decode: yolo, keypoints: [a], points: p}", "output.points: only applies with decode: boxes"},
		"other points of a face":       {"task: pose\noutput: {decode: yunet, keypoints: [a]}", "output.keypoints: has 1 names"},
		"several classes of a rotated": {"task: oriented_detection\noutput: {decode: yolo, multi_label: true}", "output.multi_label: does not apply with task: oriented_detection"},
		"a threshold of depths":        {"task: depth\noutput: {decode: map, score_threshold: 0.5}", "output.score_threshold: only applies with"},
		"boxes of a vector":            {"task: embedding\noutput: {decode: vector, max_boxes: 5}", "output.max_boxes: only applies with"},
		"a layout of a vector":         {"task: embedding\noutput: {decode: vector, map_layout: nchw}", "output.map_layout: only applies with decode: logits_map or image"},
		"a length of a class":          {"task: classification\noutput: {decode: softmax, normalize: l2}", "output.normalize: only applies with task: embedding"},
		"a range that falls":           {"task: image\noutput: {decode: image, range: [1, 0]}", "output.range: [1 0] is not"},
		"a decoder of another task":    {"task: depth\noutput: {decode: vector}", `output.decode: "vector" is not one of map`},
		"classes of a vector":          {"task: embedding\noutput: {decode: vector, top_k: 3}", "output.top_k: only applies with task: classification"},
	} {
		if _, err := parseFile([]byte(c.file), "m.yaml"); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", what, err, c.want)
		}
	}
}

func TestOutputsOfTasksAreFound(t *testing.T) {
	image := []TensorInfo{{"x", Float32, []int64{1, 3, 64, 64}}}
	resolve := func(file string, outputs ...TensorInfo) (Definition, error) {
		d, err := parseFile([]byte(file), "m.yaml")
		if err != nil {
			return d, err
		}
		return d.Resolve(image, outputs)
	}
	d, err := resolve("task: instance_segmentation\noutput: {decode: yolo, masks: p}", TensorInfo{"p", Float32, []int64{1, 32, 16, 16}}, TensorInfo{"t", Float32, []int64{1, 116, 84}})
	if names := d.Outputs(); err != nil || d.Output.Name != "t" || !slices.Contains(names, "p") {
		t.Errorf("%v: %v", err, names)
	}
	var faces []TensorInfo
	for _, name := range []string{"kps_8", "cls_8", "obj_8", "bbox_8", "kps_16", "cls_16", "obj_16", "bbox_16", "kps_32", "cls_32", "obj_32", "bbox_32"} {
		faces = append(faces, TensorInfo{name, Float32, []int64{1, -1, 1}})
	}
	if d, err = resolve("task: pose\noutput: {decode: yunet}", faces...); err != nil || d.Output.Names[0] != "cls_8" || d.Output.Names[11] != "kps_32" {
		t.Errorf("%v: %v", err, d.Output.Names)
	}
	if _, err = resolve("task: pose\noutput: {decode: yunet}", faces[:9]...); err == nil || !strings.Contains(err.Error(), `no output "cls_32"`) {
		t.Errorf("%v", err)
	}
	if d, err = resolve("task: semantic_segmentation\noutput: {decode: class_map}", TensorInfo{"y", Int64, []int64{1, 64, 64}}); err != nil || d.Output.Name != "y" {
		t.Errorf("%v: %v", err, d.Output)
	}
	if d, err = resolve("task: anomaly\noutput: {decode: map, scores: s}", TensorInfo{"s", Float32, []int64{1}}, TensorInfo{"b", Bool, []int64{1}}, TensorInfo{"m", Float32, []int64{1, 1, 8, 8}}); err != nil || d.Output.Name != "m" {
		t.Errorf("%v: %v", err, d.Output)
	}
}
