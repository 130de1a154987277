package exporter

import "fovea/internal/onnxwriter"

func otherLayouts() []layout {
	square := in("input", float, 1, 3, 256, 256)
	return []layout{
		{what: "RT-DETR's export_onnx.py", model: modelOf(in("images", float, "N", 3, 320, 320), in("orig_target_sizes", whole, "N", 2), out("labels", whole, "N", 300), out("boxes", float, "N", 300, 4), out("scores", float, "N", 300)),
			want: "input.extra: [{name: orig_target_sizes, value: original_size_wh}]; output.box_space: original; output.classes: labels; input.scale: 0.00392156862745098?"},
		{what: "RF-DETR", model: modelOf(square, out("dets", float, 1, 200, 4), out("labels", float, 1, 200, 4)), set: said("labels", ",a,b,c"), want: "output.decode: detr; output.scores: labels; output.activation: sigmoid; output.class_first: "},
		{what: "MMDeploy with its pipeline", model: modelOf(square, out("dets", float, 1, 100, 5), out("labels", whole, 1, 100)), files: map[string]string{"pipeline.json": `{"pipeline": {"tasks": [{"transforms": [{"type": "Resize", "size": [256, 256], "keep_ratio": false}, {"type": "Normalize", "mean": [103.5, 116.3, 123.7], "std": [57.4, 57.1, 58.4], "to_rgb": false}]}]}}`},
			want: "output.decode: rows; output.classes: labels; input.resize: stretch; input.color: bgr; input.mean: [103.5, 116.3, 123.7]"},
		{what: "MMDeploy without", model: modelOf(square, out("dets", float, 1, 100, 5), out("labels", whole, 1, 100)), err: "normalization"},
		{what: "MMDeploy without, of a fixed size", model: modelOf(square, out("dets", float, 1, 100, 5), out("labels", whole, 1, 100)), set: map[string]string{"normalization": "none"}, want: "input.resize: stretch?; input.color: rgb?; input.place: "},
		{what: "MMDeploy without a normalization in its pipeline", model: modelOf(square, out("dets", float, 1, 100, 5), out("labels", whole, 1, 100)), files: map[string]string{"pipeline.json": `{"pipeline": {"tasks": [{"transforms": [{"type": "Resize", "size": [256, 256], "keep_ratio": true}, {"type": "Pad", "pad_val": {"img": [114, 114, 114]}}]}]}}`},
			want: "input.resize: letterbox?; input.color: bgr; input.scale: 1; input.mean: ; input.fill: [114]?; labels: none?"},
		{what: "MMYOLO with its pipeline", model: modelOf(square, out("dets", float, 1, 100, 5), out("labels", whole, 1, 100)), files: map[string]string{"pipeline.json": `{"pipeline": {"tasks": [{"transforms": [{"type": "LoadImageFromFile"}, {"type": "mmyolo.YOLOv5KeepRatioResize", "scale": [256, 256]}, {"type": "mmyolo.LetterResize", "scale": [256, 256], "allow_scale_up": false, "pad_val": {"img": 114}}, {"type": "Normalize", "mean": [0, 0, 0], "std": [255, 255, 255], "to_rgb": true}]}]}}`},
			want: "input.resize: letterbox; input.place: center; input.rounding: floor; input.fill: [114]; input.interpolation: opencv_area; input.std: [255, 255, 255]; input.color: rgb?"},
		{what: "torchvision, with a background", model: modelOf(in("image", float, 1, 3, 320, 320), out("boxes", float, "n", 4), out("labels", whole, "n"), out("scores", float, "n")), set: said("labels", "__background__,a,b"),
			want: "output.class_first: 1; output.box_space: input; input.resize: stretch?"},
		{what: "torchvision without a batch dimension", model: modelOf(in("image", float, 3, "h", "w"), out("7", float, "n", 4), out("8", whole, "n"), out("9", float, "n")), want: "input.resize: none?; output.boxes: \"7\"; output.classes: \"8\""},
		{what: "Mask R-CNN", model: modelOf(in("image", float, 1, 3, 320, 320), out("boxes", float, "n", 4), out("labels", whole, "n"), out("scores", float, "n"), out("masks", float, "n", 1, "h", "w")), want: "task: instance_segmentation; output.masks: masks; output.mask_space: input; output.decode: boxes; output.class_first: 1"},
		{what: "Keypoint R-CNN", model: modelOf(in("image", float, 1, 3, 320, 320), out("boxes", float, "n", 4), out("labels", whole, "n"), out("scores", float, "n"), out("keypoints", float, "n", 17, 3), out("keypoints_scores", float, "n", 17)), want: "task: pose; output.points: keypoints; output.point_scores: keypoints_scores; output.keypoint_values: 3; output.decode: boxes"},
		{what: "TensorFlow's Object Detection API", model: modelOf(in("input_tensor:0", onnxwriter.Uint8, 1, "h", "w", 3), out("detection_boxes", float, 1, "n", 4), out("detection_classes", float, 1, "n"), out("detection_scores", float, 1, "n")),
			files: map[string]string{"label_map.pbtxt": "item { id: 2 name: 'dog' } # and\nitem {\n name: \"cat\", id: 1 }"}, want: "output.box_format: yxyx; output.box_space: unit; output.class_first: 1; input.resize: none?; labels: labels.txt"},
		{what: "PaddleDetection with infer_cfg.yml", model: modelOf(in("image", float, 1, 3, 320, 320), in("scale_factor", float, 1, 2), out("nms", float, "n", 6), out("count", onnxwriter.Int32, 1)),
			files: map[string]string{"infer_cfg.yml": "Preprocess:\n- interp: 1\n  keep_ratio: false\n  target_size: [320, 320]\n  type: Resize\n- is_scale: true\n  mean: [0.485, 0.456, 0.406]\n  std: [0.229, 0.224, 0.225]\n  type: NormalizeImage\n- type: Permute\nlabel_list:\n- a\n- b\n"},
			want:  "input.extra: [{name: scale_factor, value: scale_factor_hw}]; input.interpolation: opencv_linear; output.columns: [class, score, x1, y1, x2, y2]; output.box_space: original; labels: labels.txt"},
		{what: "Fovea's own metadata", model: modelOf(square, out("y", float, 1, 2), meta(definitionKey, "task: classification\ninput: {scale: 0.5, mean: [1, 2, 3]}\noutput:\n  decode: softmax\n", labelsKey, "a\nb\n")),
			want: "input.scale: 0.5; input.mean: [1, 2, 3]; output.decode: softmax; labels: labels.txt"},
	}
}

// finishedLayouts are detectors whose outputs are boxes, scores and classes.
func finishedLayouts() []layout {
	square := in("images", float, 1, 3, 320, 320)
	open := in("image", float, 1, 3, "h", "w")
	normalizing := []change{constant("m", 0.485, 0.456, 0.406), constant("s", 0.229, 0.224, 0.225), op("Sub", "a", "image", "m"), op("Div", "d", "a", "s"), op("Conv", "c", "d")}
	torchvision := func(changes ...change) *onnxwriter.Model {
		return modelOf(append([]change{in("image", float, 3, "h", "w"), out("7", float, "n", 4), out("8", whole, "n"), out("9", float, "n")}, changes...)...)
	}
	finished := func(boxes, scores, classes string, more ...change) *onnxwriter.Model {
		return modelOf(append([]change{square, out(boxes, float, 1, 100, 4), out(scores, float, 1, 100), out(classes, onnxwriter.Int32, 1, 100)}, more...)...)
	}
	detected := []change{in("input_tensor", onnxwriter.Uint8, 1, "h", "w", 3), out("detection_anchor_indices", float, 1, "n"), out("detection_boxes", float, 1, "n", 4), out("detection_classes", float, 1, "n"),
		out("detection_multiclass_scores", float, 1, "n", 6), out("detection_scores", float, 1, "n"), out("num_detections", float, 1), out("raw_detection_boxes", float, 1, 900, 4), out("raw_detection_scores", float, 1, 900, 6)}
	return []layout{
		{what: "TensorFlow's Object Detection API with all its outputs", model: modelOf(detected...), want: "output.boxes: detection_boxes; output.scores: detection_scores; output.classes: detection_classes; output.class_first: 1; input.resize: none?"},
		{what: "TensorFlow's Object Detection API with masks", model: modelOf(append(detected, out("detection_masks", float, 1, "n", 33, 33))...), want: "task: instance_segmentation; output.masks: detection_masks; output.mask_space: box; output.box_format: yxyx"},
		{what: "the SSD of ONNX's model zoo", model: modelOf(in("image_tensor:0", onnxwriter.Uint8, 1, "h", "w", 3), out("num_detections:0", float, 1), out("detection_boxes:0", float, 1, "n", 4), out("detection_scores:0", float, 1, "n"), out("detection_classes:0", float, 1, "n")),
			want: `output.box_format: yxyx; output.boxes: "detection_boxes:0"; input.scale: `},
		{what: "TFLite's detection converted by tf2onnx", model: modelOf(in("normalized_input_image_tensor", float, 1, 300, 300, 3), out("TFLite_Detection_PostProcess", float, 1, 10, 4), out("TFLite_Detection_PostProcess:1", float, 1, 10), out("TFLite_Detection_PostProcess:2", float, 1, 10), out("TFLite_Detection_PostProcess:3", float, 1)), set: said("labels", "a,b"),
			want: `output.box_format: yxyx; output.box_space: unit; output.scores: "TFLite_Detection_PostProcess:2"; output.classes: "TFLite_Detection_PostProcess:1"; output.class_first: ; input.mean: [1]; input.resize: stretch?`},
		{what: "TFLite's detection with another input", model: modelOf(in("x", float, 1, 300, 300, 3), out("TFLite_Detection_PostProcess", float, 1, 10, 4), out("TFLite_Detection_PostProcess:1", float, 1, 10), out("TFLite_Detection_PostProcess:2", float, 1, 10)), err: "say normalization=inception or unit or none"},
		{what: "boxes with two outputs that may be scores", model: modelOf(square, out("a", float, 1, 10, 4), out("b", float, 1, 10), out("c", float, 1, 10), out("d", float, 1)), set: settingsOf("normalization=unit;box_space=unit"), err: "output.scores: several outputs may be the scores of the boxes; say output.scores=b or c"},
		{what: "boxes with two outputs of which one is said to be scores", model: modelOf(square, out("a", float, 1, 10, 4), out("b", float, 1, 10), out("c", float, 1, 10)), set: settingsOf("normalization=unit;box_space=unit;output.scores=c;box_format=yxyx"), want: "output.boxes: a; output.scores: c; output.classes: b; output.box_format: yxyx"},
		{what: "Detectron2", model: torchvision(constant("m", 103.53, 116.28, 123.675), constant("s", 1, 1, 1), op("Sub", "a", "image", "m"), op("Div", "d", "a", "s"), op("Conv", "c", "d")), set: said("labels", "a,b"),
			want: "output.class_first: ; input.resize: fit?; input.shortest_edge: 800?; input.longest_edge: 1333?; input.color: bgr?; input.scale: 1; input.interpolation: pillow_bilinear?; labels: labels.txt"},
		{what: "Detectron2 of a fixed size", model: modelOf(in("image", float, 3, 320, 256), out("7", float, "n", 4), out("8", whole, "n"), out("9", float, "n"), constant("m", 103.53, 116.28, 123.675), op("Sub", "a", "image", "m"), op("Conv", "c", "a")), want: "input.resize: stretch?; output.class_first: "},
		{what: "a detector of Custom Vision", model: modelOf(in("image_tensor", float, 1, 3, 416, 416), out("detected_boxes", float, 1, "n", 4), out("detected_classes", whole, 1, "n"), out("detected_scores", float, 1, "n"), meta("Image.BitmapPixelFormat", "Bgr8", "Image.NominalPixelRange", "NominalRange_0_255")), set: said("labels", "a,b"),
			want: "output.box_space: unit; output.box_format: xyxy; output.class_first: ; input.color: bgr; input.scale: 1; input.resize: stretch?; input.interpolation: pillow_bicubic?"},
		{what: "a detector of Custom Vision without metadata", model: modelOf(in("image_tensor", float, 1, 3, "h", "w"), out("detected_boxes", float, 1, "n", 4), out("detected_classes", whole, 1, "n"), out("detected_scores", float, 1, "n")), want: "input.width: 416?; input.color: rgb?; input.scale: 0.00392156862745098?"},
		{what: "a classifier of Custom Vision", model: modelOf(in("data", float, 1, 3, 224, 224), op("Softmax", "model_output", "x"), out("model_output", float, 1, 3), meta("Image.BitmapPixelFormat", "Rgb8", "Image.NominalPixelRange", "Normalized_0_1")), want: "input.color: rgb; input.scale: 0.00392156862745098; input.resize: stretch?; output.decode: probabilities"},
		{what: "a classifier with metadata of its pixels", model: modelOf(in("x", float, 1, 3, 224, 224), out("y", float, 1, 3), meta("Image.BitmapPixelFormat", "BGR8", "Image.NominalPixelRange", "Normalized_1_1")), want: "input.color: bgr; input.mean: [1]; input.std: ; input.scale: 0.00784313725490196"},
		{what: "a classifier with metadata that does not fit", model: modelOf(in("x", float, 1, 3, 224, 224), out("y", float, 1, 3), meta("Image.BitmapPixelFormat", "Gray8", "Image.NominalPixelRange", "NominalRange_16_235")), want: "input.color: rgb?; input.scale: 0.00392156862745098?"},
		{what: "MLPerf's SSD", model: modelOf(in("image", float, 1, 3, 1200, 1200), out("bboxes", float, 1, "n", 4), out("labels", whole, 1, "n"), out("scores", float, 1, "n")), set: said("labels", "a,b"),
			want: "output.box_space: unit; output.class_first: 1; input.mean: [0.485, 0.456, 0.406]?; input.resize: stretch?"},
		{what: "pytorch-ssd with its labels", model: modelOf(in("input_0", float, 1, 3, 300, 300), op("Softmax", "scores", "x"), out("scores", float, 1, 3000, 3), out("boxes", float, 1, 3000, 4)), files: map[string]string{"labels.txt": "BACKGROUND\na\nb\n"},
			want: "output.decode: boxes; output.box_space: unit?; output.class_first: 1; output.classes: ; output.iou_threshold: 0.45?; input.mean: [127]?; input.std: [128]?; labels: labels.txt"},
		{what: "pytorch-ssd with labels without the background", model: modelOf(in("input_0", float, 1, 3, 300, 300), op("Softmax", "scores", "x"), out("scores", float, 1, 3000, 3), out("boxes", float, 1, 3000, 4)), set: said("labels", "a,b"), want: "output.class_first: 1?; labels: labels.txt"},
		{what: "pytorch-ssd with a label more", model: modelOf(in("input_0", float, 1, 3, 300, 300), op("Softmax", "scores", "x"), out("scores", float, 1, 3000, 3), out("boxes", float, 1, 3000, 4)), set: said("labels", "a,b,c,d"), err: "has 3 classes, but there are 4 labels"},
		{what: "DAMO-YOLO of four classes", model: modelOf(in("images", float, 1, 3, 320, 256), out("scores", float, 1, 1680, 4), out("boxes", float, 1, 1680, 4)), set: said("labels", "a,b,c,d"), want: "output.boxes: boxes; output.scores: scores; output.box_space: input?; output.box_format: xyxy?"},
		{what: "DetectionOutput", model: modelOf(in("data", float, 1, 3, 300, 300), out("detection_out", float, 1, 1, 200, 7)), set: map[string]string{"normalization": "none"},
			want: "output.columns: [batch, class, score, x1, y1, x2, y2]; output.box_space: unit; output.class_first: 1?; input.color: bgr?"},
		{what: "OpenVINO's training extensions", model: modelOf(in("image", float, 1, 3, 320, 320), out("boxes", float, 1, 100, 5), out("labels", whole, 1, 100)), set: map[string]string{"normalization": "imagenet"},
			want: "output.decode: rows; output.name: boxes; output.classes: labels; input.resize: stretch?"},
		{what: "MMDeploy with open sizes and without its pipeline", model: modelOf(open, out("dets", float, 1, "n", 5), out("labels", whole, 1, "n")), set: map[string]string{"normalization": "imagenet"},
			want: "output.decode: rows; input.resize: fit?; input.shortest_edge: 800?; input.longest_edge: 1333?; input.stride: 32?; input.fill: [123.675, 116.28, 103.53]?; input.width: "},
		{what: "MMDeploy with open sizes and a size that is set", model: modelOf(open, out("dets", float, 1, "n", 5), out("labels", whole, 1, "n")), set: map[string]string{"normalization": "imagenet", "size": "640"},
			want: "input.resize: letterbox?; input.width: 640; input.stride: "},
		{what: "MMDeploy, padded after the normalization", model: modelOf(square, out("dets", float, 1, 100, 5), out("labels", whole, 1, 100)), files: map[string]string{"pipeline.json": `{"tasks": [{"transforms": [{"type": "Resize", "size": [320, 320], "keep_ratio": true}, {"type": "Normalize", "mean": [120, 110, 100], "std": [60, 50, 40]}, {"type": "Pad", "size_divisor": 32, "pad_val": 0.5}]}]}`},
			want: "input.resize: letterbox?; input.fill: [150, 135, 120]?; input.mean: [120, 110, 100]"},
		{what: "RF-DETR with open sizes", model: modelOf(in("input", float, 1, 3, "h", "w"), out("dets", float, 1, 100, 4), out("labels", float, 1, 100, 4)), err: "input.width"},
		{what: "DetectionOutput with open sizes", model: modelOf(in("data", float, 1, 3, "h", "w"), out("detection_out", float, 1, 1, 200, 7)), err: "input.width"},
		{what: "MMDeploy with open sizes that are not padded", model: modelOf(open, out("dets", float, 1, "n", 5), out("labels", whole, 1, "n")), files: map[string]string{"pipeline.json": `{"tasks": [{"transforms": [{"type": "Resize", "scale": [600, 400], "keep_ratio": true}]}]}`}, want: "input.resize: fit; input.stride: ; input.fill: ; input.color: bgr"},
		{what: "MMDeploy with masks", model: modelOf(square, out("dets", float, 1, 100, 5), out("labels", whole, 1, 100), out("masks", float, 1, 100, 320, 320)), set: map[string]string{"normalization": "imagenet"}, want: "task: instance_segmentation; output.decode: rows; output.masks: masks; output.mask_space: input"},
		{what: "RF-DETR with masks", model: modelOf(square, out("dets", float, 1, 100, 4), out("labels", float, 1, 100, 5), out("masks", float, 1, 100, 80, 80)), want: "task: instance_segmentation; output.decode: detr; output.masks: masks; output.mask_space: input"},
		{what: "RF-DETR with a class more than labels", model: modelOf(square, out("dets", float, 1, 100, 4), out("labels", float, 1, 100, 4)), set: said("labels", "a,b,c"), want: "output.class_first: ; labels: labels.txt?; output.activation: sigmoid"},
		{what: "RF-DETR with a class more than labels, which is said to be a background", model: modelOf(square, out("dets", float, 1, 100, 4), out("labels", float, 1, 100, 4)), set: map[string]string{"labels": "a,b,c", "class_first": "1"}, want: "output.class_first: 1; labels: labels.txt"},
		{what: "RF-DETR with two classes more than labels", model: modelOf(square, out("dets", float, 1, 100, 4), out("labels", float, 1, 100, 5)), set: said("labels", "a,b,c"), err: "has 5 classes, but there are 3 labels"},
		{what: "MMYOLO", model: finished("boxes", "scores", "labels", out("num_dets", onnxwriter.Int32, 1, 1)), want: "output.decode: boxes; output.box_space: input; input.resize: letterbox?"},
		{what: "super-gradients", model: finished("graph2_pred_boxes", "graph2_pred_scores", "graph2_pred_classes", out("graph2_num_predictions", whole, 1, 1)),
			want: "output.boxes: graph2_pred_boxes; output.classes: graph2_pred_classes; output.box_space: input; input.resize: letterbox?; input.scale: 0.00392156862745098?"},
		{what: "super-gradients with preprocessing inside", model: modelOf(in("input", onnxwriter.Uint8, 1, 3, 320, 320), out("graph2_flat_predictions", float, "n", 7)),
			want: "output.decode: rows; output.columns: [batch, x1, y1, x2, y2, score, class]; input.scale: ; input.fill: [114]?"},
		{what: "outputs of the same ending", model: finished("a_pred_boxes", "a_pred_scores", "a_pred_classes", out("b_pred_boxes", float, 1, 100, 4)), err: "output.box_space"},
		{what: "TensorRT's own operator", model: finished("det_boxes", "det_scores", "det_classes", op("EfficientNMS_TRT", "det_boxes", "x")), err: "EfficientNMS_TRT of TensorRT"},
		{what: "MMDeploy's operators of TensorRT", model: finished("det_boxes", "det_scores", "det_classes", op("TRTBatchedNMS", "det_boxes", "x")), err: "TRTBatchedNMS"},
		{what: "torchvision's graph, which normalizes", model: torchvision(normalizing...), want: "input.scale: 0.00392156862745098; input.resize: none?; output.class_first: 1"},
		{what: "boxes like torchvision's of a graph that does not normalize", model: torchvision(op("Conv", "c", "image")), err: "say normalization=unit"},
		{what: "boxes like torchvision's, of which the normalization is said", model: torchvision(op("Conv", "c", "image")), set: map[string]string{"normalization": "caffe"}, want: "input.color: bgr; input.mean: [103.939, 116.779, 123.68]"},
		{what: "SSD with its priors applied", model: modelOf(square, op("Softmax", "scores", "x"), out("scores", float, 1, 4420, 4), out("boxes", float, 1, 4420, 4)), set: map[string]string{"labels": "a,b,c", "output.box_space": "unit", "normalization": "inception"},
			want: "output.decode: boxes; output.boxes: boxes; output.scores: scores; output.class_first: 1?; output.iou_threshold: 0.45?; output.box_space: unit; input.resize: stretch?"},
		{what: "SSD whose labels have a background", label: "a,b,c", model: modelOf(square, op("Softmax", "s", "x"), out("b", float, 1, "n", 4), out("s", float, 1, "n", 3)), set: map[string]string{"labels": "a,b,c", "output.box_space": "unit", "normalization": "unit"}, want: "output.class_first: "},
		{what: "SSD without labels", model: modelOf(square, op("Softmax", "s", "x"), out("b", float, 1, "n", 4), out("s", float, 1, "n", 2)), set: map[string]string{"output.box_space": "unit", "normalization": "unit"}, want: "output.class_first: 1?"},
		{what: "boxes with independent scores", model: modelOf(square, op("Sigmoid", "s", "x"), out("b", float, 1, 99, 4), out("s", float, 1, 99, 3)), set: map[string]string{"labels": "a,b,c", "output.box_space": "input", "normalization": "unit"}, want: "output.class_first: ; output.decode: boxes"},
		{what: "SSD whose unit is unknown", model: modelOf(square, op("Softmax", "s", "x"), out("b", float, 1, 99, 4), out("s", float, 1, 99, 3)), err: "output.box_space"},
		{what: "tables of different lengths", model: modelOf(square, op("Softmax", "s", "x"), out("b", float, 1, 99, 4), out("s", float, 1, 98, 3)), err: "no known classifier or detector"},
		{what: "boxes and a score for each class, as many as cells", model: modelOf(square, out("a", float, 1, 2100, 4), out("b", float, 1, 2100, 3)), set: said("labels", "a,b,c"),
			want: "output.decode: boxes; output.box_space: input?; output.iou_threshold: 0.45?; output.classes: ; input.resize: letterbox?"},
		{what: "boxes and a score for each class of unknown origin", model: modelOf(square, out("a", float, 1, 900, 4), out("b", float, 1, 900, 3)), err: "say output.box_space=unit or input or original"},
		{what: "boxes and scores with a class more than labels", model: modelOf(square, out("a", float, 1, 2100, 4), out("b", float, 1, 2100, 3)), set: said("labels", "a,b"), err: "say output.class_first=1"},
		{what: "boxes and scores of different numbers", model: modelOf(square, out("a", float, 1, 2100, 4), out("b", float, 1, 900, 3)), err: "no known"},
		{what: "D-FINE, whose size is an int32", model: modelOf(in("images", float, "N", 3, "h", "w"), in("orig_target_sizes", onnxwriter.Int32, "N", 2), out("labels", whole, "N", 300), out("boxes", float, "N", 300, 4), out("scores", float, "N", 300)),
			want: "input.width: 640?; input.resize: stretch?; output.box_space: original"},
		{what: "D-FINE with open sizes of its outputs", model: modelOf(in("images", float, "N", 3, 320, 320), in("orig_target_sizes", whole, "N", 2), out("labels", whole, "N", "q"), out("boxes", float, "N", "q", "c"), out("scores", float, "N", "q")),
			want: "output.decode: boxes; output.box_space: original"},
		{what: "scores before boxes, as many as cells, which are no rows of a YOLO", model: modelOf(square, op("Sigmoid", "b", "x"), out("b", float, 1, 2100, 9), out("a", float, 1, 2100, 4)), want: "output.decode: boxes; output.boxes: a; output.scores: b; output.box_space: input?"},
		{what: "queries without the names of DETR", model: modelOf(square, op("Sigmoid", "a", "x"), op("MatMul", "b", "x"), out("a", float, 1, 100, 4), out("b", float, 1, 100, 4)), set: said("labels", "a,b,c"), want: "output.decode: detr; output.boxes: a; output.scores: b; output.activation: softmax?"},
		{what: "DETR by one label less than classes", model: modelOf(square, out("logits", float, 1, 50, 4), out("boxes", float, 1, 50, 4)), set: said("labels", "a,b,c"), want: "output.activation: softmax?; output.max_boxes: 50; input.color: rgb?"},
		{what: "a successor of DETR by its labels", model: modelOf(square, out("pred_logits", float, 1, 50, 3), out("pred_boxes", float, 1, 50, 4)), set: said("labels", "a,b,c"), want: "output.activation: sigmoid?"},
		{what: "a successor of DETR by its activation, with a label less", model: modelOf(square, out("pred_logits", float, 1, 50, 4), out("pred_boxes", float, 1, 50, 4)), set: map[string]string{"labels": "a,b,c", "activation": "sigmoid"}, err: "say output.class_first=1"},
		{what: "DETR by its activation, with a label for no object", model: modelOf(square, out("pred_logits", float, 1, 50, 4), out("pred_boxes", float, 1, 50, 4)), set: map[string]string{"labels": "a,b,c,d", "activation": "softmax"}, err: "say --set labels=… with all 3"},
		{what: "DETR without labels", model: modelOf(square, out("pred_logits", float, 1, 50, 4), out("pred_boxes", float, 1, 50, 4)), err: "output.activation"},
		{what: "conditional DETR of transformers", model: modelOf(square, out("logits", float, 1, 300, 2), out("pred_boxes", float, 1, 300, 4)), files: map[string]string{"config.json": `{"model_type": "conditional_detr", "id2label": {"0": "a", "1": "b"}}`, "preprocessor_config.json": `{"size": {"height": 320, "width": 320}}`},
			want: "output.activation: sigmoid; output.max_boxes: 100"},
	}
}
