package exporter

import "fovea/internal/onnxwriter"

// taskLayouts are those of tasks besides classification and detection.
func taskLayouts() []layout {
	image, classic := in("images", float, 1, 3, 320, 320), in("input", float, "b", 3, 224, 224)
	open := in("input", float, "b", 3, "h", "w")
	two := func(task string, more ...string) change {
		return meta(append([]string{"task", task, "author", "Ultralytics", "names", "{0: 'a', 1: 'b'}", "stride", "32", "imgsz", "[320, 320]"}, more...)...)
	}
	faces := in("input.1", float, "b", 3, 112, 112)
	boxes := []change{in("image", float, 3, "h", "w"), out("boxes", float, "n", 4), out("labels", whole, "n"), out("scores", float, "n")}
	return []layout{
		{what: "segmentation end to end", model: modelOf(image, out("output0", float, 1, 300, 38), out("output1", float, 1, 32, 80, 80), two("segment", "end2end", "True")),
			want: "task: instance_segmentation; output.decode: rows; output.columns: [x1, y1, x2, y2, score, class]; output.masks: output1; output.iou_threshold: "},
		{what: "segmentation with NMS inside", model: modelOf(image, out("output0", float, 1, 300, 38), out("output1", float, 1, 32, 80, 80), two("segment", "args", "{'nms': True, 'conf': 0.4}")),
			want: "output.decode: rows; output.masks: output1; output.score_threshold: 0.4"},
		{what: "rotated boxes with NMS inside", model: modelOf(image, out("output0", float, 1, 300, 7), two("obb", "args", "{'nms': True}")),
			want: "task: oriented_detection; output.decode: rows; output.columns: [cx, cy, w, h, score, class]"},
		{what: "poses end to end", model: modelOf(image, out("output0", float, 1, 300, 10), two("pose", "kpt_shape", "[2, 2]", "end2end", "True")),
			want: "task: pose; output.decode: rows; output.keypoint_values: 2; output.keypoints: [point_0, point_1]?"},
		{what: "poses with named points", model: modelOf(image, out("output0", float, 1, 12, 2100), two("pose", "kpt_shape", "[2, 3]", "kpt_names", "{0: ['tip', 'tail'], 1: ['tip', 'tail']}")),
			want: "output.decode: yolo; output.keypoint_values: 3; output.keypoints: [tip, tail]"},
		{what: "poses of four numbers", model: modelOf(image, out("output0", float, 1, 14, 2100), two("pose", "kpt_shape", "[2, 4]")), err: "metadata kpt_shape"},
		{what: "segmentation without prototypes", model: modelOf(image, out("output0", float, 1, 38, 2100), two("segment")), err: "prototypes of masks"},
		{what: "segmentation with other labels", model: modelOf(image, out("output0", float, 1, 39, 2100), out("output1", float, 1, 32, 80, 80), two("segment")), err: "has 3 classes, but there are 2 labels"},
		{what: "segmentation without metadata", model: modelOf(image, out("a", float, 1, 37, 2100), out("b", float, 1, 32, 80, 80)), want: "task: instance_segmentation; output.decode: yolo; output.name: a; output.masks: b"},
		{what: "masks of 28×28", model: modelOf(append(boxes, out("x", float, "n", 1, 28, 28))...), set: map[string]string{"normalization": "unit"}, want: "task: instance_segmentation; output.masks: x; output.mask_space: box"},
		{what: "an embedding of transformers", model: modelOf(classic, out("image_embeds", float, "b", 512), out("last_hidden_state", float, "b", 50, 768)),
			files: map[string]string{"config.json": `{"model_type": "clip_vision_model"}`}, set: map[string]string{"normalization": "clip"}, want: "task: embedding; output.decode: vector; output.name: image_embeds"},
		{what: "a depth that keeps the aspect ratio", model: modelOf(open, out("predicted_depth", float, "b", "h2", "w2")), files: map[string]string{"config.json": `{"model_type": "depth_anything"}`,
			"preprocessor_config.json": `{"image_processor_type": "DPTImageProcessor", "size": {"height": 518, "width": 518}, "keep_aspect_ratio": true, "ensure_multiple_of": 14, "resample": 3}`},
			want: "task: depth; input.resize: closest; input.resize_width: 518; input.resize_height: 518; input.multiple: 14; labels: "},
		{what: "a depth that keeps no aspect ratio", model: modelOf(open, out("predicted_depth", float, "b", "h2", "w2")), files: map[string]string{"config.json": `{"model_type": "dpt"}`, "preprocessor_config.json": `{"image_processor_type": "DPTImageProcessor"}`},
			want: "input.resize: stretch; input.width: 384; input.height: 384; input.interpolation: pillow_bicubic?"},
		{what: "a depth of a fixed size", model: modelOf(classic, out("predicted_depth", float, "b", 224, 224)), files: map[string]string{"config.json": `{"model_type": "dpt"}`, "preprocessor_config.json": `{"image_processor_type": "DPTImageProcessor", "keep_aspect_ratio": true}`},
			want: "input.resize: stretch; input.multiple: "},
		{what: "a depth of images at their own size", model: modelOf(open, out("predicted_depth", float, "b", "h2", "w2")), files: map[string]string{"config.json": `{"model_type": "glpn"}`, "preprocessor_config.json": `{"image_processor_type": "GLPNImageProcessor", "size_divisor": 64}`},
			want: "task: depth; input.resize: none; input.multiple: 64; input.mean: "},
		{what: "features of a face", model: modelOf(faces, op("BatchNormalization", "683", "x"), out("683", float, "b", 512)), want: "task: embedding?; output.decode: vector; input.scale: 0.00784313725490196?; input.mean: [1]?"},
		{what: "a vector that is said", model: modelOf(classic, out("y", float, "b", 64)), set: map[string]string{"task": "embedding", "normalization": "imagenet"}, want: "task: embedding; output.decode: vector"},
		{what: "scores that are a vector if that is not said", model: modelOf(classic, out("y", float, "b", 64)), want: "task: classification"},
		{what: "depth that is said", model: modelOf(classic, out("y", float, "b", 1, 224, 224)), set: map[string]string{"task": "depth"}, want: "task: depth; output.decode: map; input.resize: stretch?"},
		{what: "an image that is said", model: modelOf(open, out("y", float, "b", 3, "h4", "w4")), set: map[string]string{"task": "image"}, want: "task: image; output.decode: image; input.resize: none?; output.range: [0, 1]?"},
		{what: "an image of values to 255", model: modelOf(open, out("y", float, "b", 3, "h4", "w4")), set: map[string]string{"task": "image", "normalization": "none"}, want: "output.range: [0, 255]?"},
		{what: "an image of values to 1, where the graph subtracts a mean of values to 255", model: modelOf(open, constant("m", 103.53, 116.28, 123.675), op("Sub", "a", "input", "m"), op("Conv", "c", "a"), out("y", float, "b", 3, "h4", "w4")), set: map[string]string{"task": "image", "normalization": "unit"},
			want: "input.scale: 0.00392156862745098; output.range: [0, 1]?"},
		{what: "classes by numbers", model: modelOf(classic, out("y", onnxwriter.Int64, "b", 224, 224)), set: map[string]string{"labels": "a,b"}, want: "task: semantic_segmentation; output.decode: class_map"},
		{what: "torchvision's segmentation", model: modelOf(open, out("out", float, "b", 21, "h", "w"), out("aux", float, "b", 21, "h", "w")), want: "task: semantic_segmentation; output.decode: logits_map; output.name: out; input.width: 256?"},
		{what: "classes last", model: modelOf(classic, out("y", float, "b", 224, 224, 3)), set: map[string]string{"labels": "a,b,c"}, want: "output.decode: logits_map; output.map_layout: nhwc"},
		{what: "semantic segmentation of Ultralytics", model: modelOf(image, out("output0", onnxwriter.Uint8, 1, 320, 320), two("semantic")),
			want: "task: semantic_segmentation; output.decode: class_map; input.resize: letterbox; input.place: center; input.fill: [114]; input.scale: 0.00392156862745098; labels: labels.txt"},
		{what: "scores of it", model: modelOf(image, out("output0", float, 1, 2, 320, 320), two("semantic")), want: "output.decode: logits_map"},
		{what: "semantic segmentation of Ultralytics with other labels", model: modelOf(image, out("output0", float, 1, 3, 320, 320), two("semantic")), err: "has 3 classes, but there are 2 labels"},
		{what: "semantic segmentation of Ultralytics without a map", model: modelOf(image, out("output0", float, 1, 2), two("semantic")), err: "none of the outputs is a map of classes"},
		{what: "depth of Ultralytics", model: modelOf(image, out("output0", float, 1, 1, 320, 320), two("depth")),
			want: "task: depth; output.decode: map; output.align_corners: true; input.resize: stretch; input.interpolation: opencv_linear; input.scale: 0.00392156862745098; labels: "},
		{what: "depth of Ultralytics without a map", model: modelOf(image, out("output0", float, 1, 2), two("depth")), err: "none of the outputs is a map of depths"},
		{what: "a map of truth values", model: modelOf(classic, out("y", onnxwriter.Bool, "b", 1, 224, 224)), set: map[string]string{"labels": "a,b"}, want: "task: semantic_segmentation; output.decode: class_map"},
		{what: "anomalib with a mask", model: modelOf(classic, out("pred_score", float, "b"), out("pred_label", onnxwriter.Bool, "b"), out("anomaly_map", float, "b", 1, 224, 224), out("pred_mask", onnxwriter.Bool, "b", 1, 224, 224)),
			want: "output.anomalous: pred_label; output.masks: pred_mask"},
		{what: "anomalib", model: modelOf(classic, out("pred_score", float, "b"), out("pred_label", onnxwriter.Bool, "b"), out("anomaly_map", float, "b", 1, 224, 224)),
			want: "task: anomaly; output.anomalous: pred_label; output.masks: ; output.decode: map; output.name: anomaly_map; output.scores: pred_score; output.score_threshold: 0.5; input.scale: 0.00392156862745098?"},
		{what: "a class and its background", model: modelOf(classic, op("Conv", "y", "input"), out("y", float, "b", 1, 224, 224)), set: map[string]string{"labels": "background,crack"},
			want: "task: semantic_segmentation; output.decode: logits_map; output.map_threshold: "},
		{what: "a probability of a class", model: modelOf(classic, op("Conv", "x", "input"), op("Sigmoid", "y", "x"), out("y", float, "b", 1, 224, 224)), set: map[string]string{"labels": "background,crack"},
			want: "output.decode: logits_map; output.map_threshold: 0.5"},
		{what: "a map of an unknown kind", model: modelOf(classic, op("Conv", "y", "x"), out("y", float, "b", 1, 224, 224)), err: "say task=semantic_segmentation or depth or anomaly or image"},
	}
}
