package exporter

import (
	"strings"

	"fovea/internal/onnxwriter"
)

func ultralyticsOf(task string, more ...string) []string {
	return append([]string{"task", task, "author", "Ultralytics", "names", "{0: 'apple', 1: \"fig: dried\", 2: 'it\\'s'}", "stride", "32", "imgsz", "[320, 256]"}, more...)
}

func ultralyticsLayouts() []layout {
	detect := func(more ...string) change { return meta(ultralyticsOf("detect", more...)...) }
	single := func(more ...string) change {
		return meta(append([]string{"task", "detect", "names", "{0: 'ball'}", "stride", "32", "imgsz", "[320, 256]"}, more...)...)
	}
	two := meta("task", "detect", "names", "{0: 'a', 1: 'b'}", "stride", "32", "end2end", "False")
	open := in("images", float, "batch", 3, "height", "width")
	return []layout{
		{what: "one class", model: modelOf(image, out("output0", float, 1, 5, 1680), single()), want: "output.decode: yolo; labels: labels.txt; output.class_first: "},
		{what: "one class, end to end", model: modelOf(image, out("output0", float, 1, 300, 6), single("end2end", "True")), want: "output.decode: rows"},
		{what: "a label less than two classes", model: modelOf(image, out("output0", float, 1, 6, 1680), two), set: map[string]string{"labels": "a"}, err: "has 2 classes, but there is 1 label (set); say --set labels=… with all 2"},
		{what: "a label more than two classes", model: modelOf(image, out("output0", float, 1, 6, 1680), two), set: map[string]string{"labels": "a,b,c"}, err: "has 2 classes, but there are 3 labels"},
		{what: "other labels than those of the metadata", model: modelOf(image, out("output0", float, 1, 6, 1680), two), set: map[string]string{"labels": "x,y"}, want: "output.decode: yolo; labels: labels.txt"},
		{what: "an open batch", model: modelOf(in("images", float, "batch", 3, 320, 256), out("output0", float, "batch", 7, 1680), detect()), want: "output.decode: yolo; input.stride: ; input.width: "},
		{what: "dynamic=True and end to end, whose columns are named, too", model: modelOf(open, out("output0", float, "batch", 300, "anchors"), detect("end2end", "True")),
			want: "output.decode: rows; input.stride: 32; input.width: 256"},
		{what: "dynamic=True of YOLOv10 before versions that wrote end2end", model: modelOf(open, out("output0", float, "batch", 300, "anchors"), detect("description", "Ultralytics YOLOv10n model")), want: "output.decode: rows"},
		{what: "dynamic=True and nms=True", model: modelOf(open, out("output0", float, "batch", "max_det", 6), detect("args", "{'nms': True, 'conf': 0.4, 'iou': 0.6, 'max_det': 50}")),
			want: "output.decode: rows; output.score_threshold: 0.4; output.iou_threshold: ; output.max_boxes: 50"},
		{what: "dynamic=True with 296 classes, whose raw output has 300 rows", model: modelOf(open, out("output0", float, "batch", 300, "anchors"),
			meta("task", "detect", "names", "{295: 'z'}", "stride", "32", "imgsz", "[320, 320]", "end2end", "False")), want: "output.decode: yolo; labels: labels.txt"},
		{what: "296 classes, end to end", model: modelOf(image, out("output0", float, 1, 300, 6), meta("task", "detect", "names", "{295: 'z'}", "stride", "32", "end2end", "True")), want: "output.decode: rows"},
		{what: "thresholds and agnostic suppression in args", model: modelOf(image, out("output0", float, 1, 7, 1680), detect("args", "{'conf': 0.1, 'iou': 0.5, 'max_det': 20, 'agnostic_nms': True}")),
			want: "output.score_threshold: 0.1; output.iou_threshold: 0.5; output.max_boxes: 20; output.class_agnostic: true"},
		{what: "thresholds out of range in args", model: modelOf(image, out("output0", float, 1, 7, 1680), detect("args", "{'conf': None, 'iou': 7, 'max_det': 0}")),
			want: "output.score_threshold: 0.25; output.iou_threshold: 0.7; output.max_boxes: 300; output.class_agnostic: "},
		{what: "grayscale", model: modelOf(in("images", float, 1, 1, 320, 256), out("output0", float, 1, 7, 1680), detect("channels", "1")), want: "output.decode: yolo; input.color: ; input.fill: [114]; input.scale: 0.00392156862745098"},
		{what: "an input of uint8", model: modelOf(in("images", onnxwriter.Uint8, 1, 3, 320, 256), out("output0", float, 1, 7, 1680), detect()), want: "output.decode: yolo; input.scale: ; input.fill: [114]"},
		{what: "an open size without imgsz", model: modelOf(open, out("output0", float, "batch", 6, "anchors"), two), want: "input.width: 640?; input.height: 640?; input.stride: 32"},
		{what: "a size that is set", model: modelOf(open, out("output0", float, "batch", 7, "anchors"), detect()), set: map[string]string{"size": "416"}, want: "input.width: 416; input.stride: "},
		{what: "RT-DETR with open sizes", model: modelOf(open, out("output0", float, "batch", 300, "anchors"), detect("head", "RTDETRDecoder")), want: "output.decode: rows; input.resize: stretch; input.width: 256"},
		{what: "RT-DETR with thresholds in args", model: modelOf(image, out("output0", float, 1, 300, 6), detect("head", "RTDETRDecoder", "args", "{'conf': 0.5}")), want: "output.score_threshold: 0.5"},
		{what: "an older RT-DETR of two classes", model: modelOf(image, out("output0", float, 1, 300, 6), meta("task", "detect", "names", "['a', 'b']", "description", "Ultralytics RTDETR-l model")), want: "output.decode: yolo; output.box_space: unit"},
		{what: "an older RT-DETR with a label less", model: modelOf(image, out("output0", float, 1, 300, 8), detect("description", "rtdetr")), err: "has 4 classes"},
		{what: "YOLOv8-cls of another size", model: modelOf(in("images", float, "b", 3, "h", "w"), op("Softmax", "output0", "x"), out("output0", float, "b", 2), meta("task", "classify", "names", "['a', 'b']")),
			want: "input.width: 224?; input.shortest_edge: 224; output.decode: probabilities"},
		{what: "YOLOv8-cls that is not square", model: modelOf(in("images", float, 1, 3, 224, 320), op("Softmax", "output0", "x"), out("output0", float, 1, 3), meta(ultralyticsOf("classify")...)), want: "input.resize: stretch; input.shortest_edge: "},
		{what: "YOLOv8-cls with labels of another model", model: modelOf(in("images", float, 1, 3, 224, 224), op("Softmax", "output0", "x"), out("output0", float, 1, 9), meta(ultralyticsOf("classify")...)), err: "has 9 classes, but there are 3 labels (metadata names)"},
		{what: "two outputs of three dimensions", model: modelOf(image, out("output0", float, 1, 7, 1680), out("output1", float, 1, 7, 1680), detect()), err: "output.name"},
		{what: "two outputs of three dimensions, one of which is said", model: modelOf(image, out("output0", float, 1, 7, 1680), out("output1", float, 1, 7, 1680), detect()), set: map[string]string{"output": "output1"}, want: "output.name: output1; output.decode: yolo"},
		{what: "an output that does not exist", model: modelOf(image, out("output0", float, 1, 7, 1680), detect()), set: map[string]string{"output": "x"}, err: `called "x": "output0"`},
		{what: "YOLO11 before suppression", model: modelOf(image, out("output0", float, 1, 7, 1680), detect("end2end", "False", "args", "{'nms': None}")),
			want: "task: detection; input.resize: letterbox; input.place: center; input.fill: [114]; input.interpolation: opencv_linear; output.decode: yolo; output.score_threshold: 0.25; output.iou_threshold: 0.7; output.max_boxes: 300"},
		{what: "YOLOv8 of a version that writes neither end2end nor args", model: modelOf(image, out("output0", float, 1, 7, 1680), detect()), want: "output.decode: yolo"},
		{what: "YOLO26 end to end", model: modelOf(image, out("output0", float, 1, 300, 6), detect("end2end", "True")), want: "output.decode: rows; output.columns: [x1, y1, x2, y2, score, class]"},
		{what: "YOLOv8 with nms=True", model: modelOf(image, out("output0", float, 1, 300, 6), detect("end2end", "False", "args", "{'nms': True}")), want: "output.decode: rows"},
		{what: "two classes, whose raw output has six rows", model: modelOf(image, out("output0", float, 1, 6, 1680), meta("task", "detect", "names", "{0: 'a', 1: 'b'}", "stride", "32")), want: "output.decode: yolo"},
		{what: "dynamic=True", model: modelOf(in("images", float, "batch", 3, "height", "width"), out("output0", float, "batch", 7, "anchors"), detect()),
			want: "input.width: 256; input.height: 320; input.stride: 32; output.decode: yolo"},
		{what: "RT-DETR, whose boxes are centers and sizes from 0 to 1", model: modelOf(image, out("output0", float, 1, 300, 6), detect("head", "RTDETRDecoder")),
			want: "input.resize: stretch; input.interpolation: opencv_linear; output.decode: rows; output.columns: [cx, cy, w, h, score, class]; output.box_space: unit"},
		{what: "an older RT-DETR, with a score of each class", model: modelOf(image, out("output0", float, 1, 300, 7), detect("description", "Ultralytics rtdetr-l model")),
			want: "input.resize: stretch; output.decode: yolo; output.nms: none; output.box_space: unit"},
		{what: "YOLOv8-cls", model: modelOf(in("images", float, 1, 3, 224, 224), op("Softmax", "output0", "x"), out("output0", float, 1, 3), meta(ultralyticsOf("classify")...)),
			want: "task: classification; input.resize: shortest_edge; input.shortest_edge: 224; input.interpolation: pillow_bilinear; output.decode: probabilities"},
		{what: "names as JSON", model: modelOf(image, out("output0", float, 1, 6, 1680), meta("task", "detect", "names", `["x", "y"]`)), want: "output.decode: yolo; labels: labels.txt"},
		{what: "a segmenting model", model: modelOf(image, out("output0", float, 1, 39, 1680), out("output1", float, 1, 32, 80, 64), meta(ultralyticsOf("segment")...)), want: "task: instance_segmentation; output.decode: yolo; output.name: output0; output.masks: output1; output.iou_threshold: 0.7"},
		{what: "a model of poses", model: modelOf(image, out("output0", float, 1, 56, 1680), meta(ultralyticsOf("pose", "kpt_shape", "[17, 3]", "names", "{0: 'person'}")...)), want: "task: pose; output.decode: yolo; output.keypoint_values: 3; output.keypoints: [nose, left_eye, right_eye, left_ear, right_ear, left_shoulder, right_shoulder, left_elbow, right_elbow, left_wrist, right_wrist, left_hip, right_hip, left_knee, right_knee, left_ankle, right_ankle]?"},
		{what: "oriented boxes", model: modelOf(image, out("output0", float, 1, 8, 1680), meta(ultralyticsOf("obb")...)), want: "task: oriented_detection; output.decode: yolo; output.score_threshold: 0.25; output.iou_threshold: 0.7"},
		{what: "YOLOv5's export.py", model: modelOf(in("images", float, 1, 3, 640, 640), out("output0", float, 1, 25200, 8), meta("names", "{0: 'a', 1: 'b', 2: 'c'}", "stride", "32")),
			want: "output.decode: yolov5; output.iou_threshold: 0.45; input.resize: letterbox"},
	}
}

func yoloLayouts() []layout {
	square := in("images", float, 1, 3, 320, 320)
	open := in("images", float, 1, 3, "h", "w")
	coco := map[string]string{"labels": strings.Repeat("x,", 79) + "x"}
	three := map[string]string{"labels": "a,b,c"}
	v5 := meta("names", "{0: 'a', 1: 'b', 2: 'c'}", "stride", "32")
	return []layout{
		{what: "YOLOv5 of one class", model: modelOf(in("images", float, 1, 3, 640, 640), out("output0", float, 1, 25200, 6), meta("names", "['a']", "stride", "32")), want: "output.decode: yolov5; labels: labels.txt"},
		{what: "YOLOv5 with a label less", model: modelOf(in("images", float, 1, 3, 640, 640), out("output0", float, 1, 25200, 9), v5), err: "has 4 classes, but there are 3 labels (metadata names)"},
		{what: "YOLOv5 with open sizes", model: modelOf(open, out("output0", float, 1, "n", 8), v5), want: "output.decode: yolov5; input.width: 640?; input.stride: 32"},
		{what: "YOLOv9's export.py", model: modelOf(square, out("output0", float, 1, 7, 2100), v5), want: "output.decode: yolo; output.iou_threshold: 0.45"},
		{what: "YOLOv9 with suppression inside", model: modelOf(square, op("NonMaxSuppression", "kept", "x"), out("output", float, "n", 7), v5), want: "output.decode: rows; output.columns: [batch, x1, y1, x2, y2, class, score]; labels: labels.txt; output.max_boxes: 300?"},
		{what: "YOLOv9 with EfficientNMS", model: modelOf(square, out("num_dets", onnxwriter.Int32, 1, 1), out("det_boxes", float, 1, 100, 4), out("det_scores", float, 1, 100), out("det_classes", onnxwriter.Int32, 1, 100), v5), want: "output.decode: boxes; output.iou_threshold: ; labels: labels.txt; input.resize: letterbox"},
		{what: "finished boxes with the metadata of YOLOv5", model: modelOf(square, out("output0", float, 1, 300, 6), v5), want: "output.decode: rows; output.iou_threshold: "},
		{what: "YOLOv5's metadata with a box and two scores a row", model: modelOf(square, out("output0", float, 1, 2100, 6), meta("names", "['a', 'b']", "stride", "32")), want: "output.decode: yolo; labels: labels.txt"},
		{what: "YOLOv5's metadata with other rows", model: modelOf(square, out("output0", float, 1, 7, 7), v5), want: "output.decode: yolov5"},
		{what: "four raw grids with open sizes", model: modelOf(open, out("a", float, 1, 3, "h", "w", 8), out("b", float, 1, 3, "h", "w", 8), out("c", float, 1, 3, "h", "w", 8), out("d", float, 1, 3, "h", "w", 8)), err: "output.strides"},
		{what: "YOLOv5's segmentation", model: modelOf(square, out("output0", float, 1, 6300, 40), out("output1", float, 1, 32, 80, 80), v5), err: "segmentation"},
		{what: "YOLOv5-cls", model: modelOf(in("images", float, 1, 3, 224, 224), op("Gemm", "output0", "x"), out("output0", float, 1, 3), v5),
			want: "task: classification; output.decode: softmax; input.resize: crop; input.shortest_edge: ; input.interpolation: opencv_linear; input.mean: [0.485, 0.456, 0.406]; labels: labels.txt"},
		{what: "YOLOv5's raw grids with metadata", model: modelOf(square, out("a", float, 1, 3, 40, 40, 8), out("b", float, 1, 3, 20, 20, 8), out("c", float, 1, 3, 10, 10, 8), v5),
			want: "output.decode: yolov5_raw; output.strides: [8, 16, 32]; output.activation: ; input.resize: letterbox"},
		{what: "raw grids after Sigmoid, in another order", model: modelOf(square, op("Sigmoid", "a", "x"), out("a", float, 1, 3, 10, 10, 8), out("b", float, 1, 3, 20, 20, 8), out("c", float, 1, 3, 40, 40, 8)), want: "output.decode: yolov5_raw; output.strides: [8, 16, 32]; output.activation: none"},
		{what: "raw grids of a tiny YOLO", model: modelOf(square, out("a", float, 1, 3, 20, 20, 8), out("b", float, 1, 3, 10, 10, 8)), err: "output.anchors"},
		{what: "raw grids with open sizes", model: modelOf(open, out("a", float, 1, 3, "h", "w", 8), out("b", float, 1, 3, "h2", "w2", 8), out("c", float, 1, 3, "h3", "w3", 8)), want: "output.strides: [8, 16, 32]?; input.width: 640?"},
		{what: "raw grids of four dimensions", model: modelOf(square, out("a", float, 1, 24, 40, 40), out("b", float, 1, 24, 20, 20), out("c", float, 1, 24, 10, 10)), set: three, want: "output.decode: yolov5_raw; output.strides: [8, 16, 32]"},
		{what: "grids of four dimensions with other numbers", model: modelOf(square, out("a", float, 1, 67, 40, 40), out("b", float, 1, 67, 20, 20), out("c", float, 1, 67, 10, 10)), set: three, err: "no known"},
		{what: "YOLOv4's grids with the anchors after the cells", model: modelOf(square, out("a", float, 1, 40, 40, 3, 8), out("b", float, 1, 20, 20, 3, 8), out("c", float, 1, 10, 10, 3, 8)), err: "no known"},
		{what: "a YOLOv8 of one class without metadata", model: modelOf(square, out("output0", float, 1, 5, 2100)), want: "output.decode: yolo; output.score_threshold: 0.25?"},
		{what: "a YOLOv8 of two classes without metadata", model: modelOf(square, out("output0", float, 1, 6, 2100)), want: "output.decode: yolo"},
		{what: "a YOLOv8 of one class, turned over", model: modelOf(square, out("output0", float, 1, 2100, 5)), want: "output.decode: yolo"},
		{what: "a YOLOv8, turned over, with labels", model: modelOf(square, out("output0", float, 1, 2100, 7)), set: three, want: "output.decode: yolo; labels: labels.txt"},
		{what: "a YOLOv8 of COCO, turned over", model: modelOf(square, out("output0", float, 1, 2100, 84)), want: "output.decode: yolo"},
		{what: "a YOLOv8 of COCO, turned over, with its labels", model: modelOf(square, out("output0", float, 1, 2100, 84)), set: coco, want: "output.decode: yolo"},
		{what: "a YOLOv6 of COCO", model: modelOf(square, out("x", float, 1, 2100, 85)), want: "output.decode: yolov5"},
		{what: "rows of a box and five numbers", model: modelOf(square, out("x", float, 1, 2100, 9)), want: "output.decode: yolov5?"},
		{what: "rows of a box and five numbers, said", model: modelOf(square, out("x", float, 1, 2100, 9)), set: map[string]string{"decode": "yolo"}, want: "output.decode: yolo"},
		{what: "rows with a class more than labels", model: modelOf(square, out("x", float, 1, 2100, 9)), set: three, err: "has 4 classes"},
		{what: "a small YOLOX of one class, whose rows are not finished boxes", model: modelOf(in("images", float, 1, 3, 160, 160), op("Exp", "e", "x"), out("output", float, 1, 525, 6)), want: "output.decode: yolov5; input.color: bgr?"},
		{what: "finished boxes", model: modelOf(square, out("x", float, 1, 300, 6)), want: "output.decode: rows; output.columns: [x1, y1, x2, y2, score, class]; output.iou_threshold: "},
		{what: "an open number of finished boxes", model: modelOf(square, op("NonMaxSuppression", "kept", "y"), out("x", float, 1, "n", 6)), want: "output.decode: rows"},
		{what: "an open number of six numbers", model: modelOf(open, out("x", float, 1, "n", 6)), err: "say output.decode=rows or yolov5 or yolo"},
		{what: "an open number of boxes with labels", model: modelOf(open, out("x", float, 1, "n", 8)), set: three, want: "output.decode: yolov5; input.width: 640?"},
		{what: "an open number of boxes in columns", model: modelOf(open, out("x", float, 1, 84, "n")), set: coco, want: "output.decode: yolo; input.width: 640?"},
		{what: "an open number of boxes of one class in columns", model: modelOf(open, out("x", float, 1, 5, "n")), want: "output.decode: yolo"},
		{what: "an open number of columns without a class", model: modelOf(open, out("x", float, 1, 4, "n")), err: "no known"},
		{what: "a P2 model", model: modelOf(square, out("x", float, 1, 7, 8500)), want: "output.decode: yolo"},
		{what: "columns that no grid has", model: modelOf(square, out("x", float, 1, 7, 1000)), want: "output.decode: yolo?"},
		{what: "few columns that no grid has", model: modelOf(square, out("x", float, 1, 7, 50)), err: "no known"},
		{what: "a YOLO whose graph divides by 255", model: modelOf(square, constant("s", 255), op("Div", "d", "images", "s"), op("Conv", "c", "d"), out("x", float, 1, 7, 2100)), want: "output.decode: yolo; input.scale: 1; input.resize: letterbox?"},
		{what: "a YOLO of uint8", model: modelOf(in("images", onnxwriter.Uint8, 1, 3, 320, 320), out("x", float, 1, 7, 2100)), want: "output.decode: yolo; input.scale: "},
		{what: "YOLOX, not decoded", model: modelOf(square, out("output", float, 1, 2100, 8)), want: "output.decode: yolox; input.color: bgr?; input.place: top_left?; input.fill: [114]?"},
		{what: "YOLOX with decode_in_inference", model: modelOf(square, op("Exp", "e", "x"), out("output", float, 1, 2100, 8)), want: "output.decode: yolov5; input.color: bgr?; input.place: top_left?"},
		{what: "YOLOv6, which has an objectness of 1", model: modelOf(square, out("outputs", float, 1, 2100, 8)), want: "output.decode: yolov5; input.color: rgb?; input.place: center?"},
		{what: "YOLOv7 with --grid", model: modelOf(square, out("output", float, 1, 6300, 8)), want: "output.decode: yolov5; input.scale: 0.00392156862745098?"},
		{what: "YOLOv9 without metadata", model: modelOf(square, out("output0", float, 1, 7, 2100)), want: "output.decode: yolo; input.resize: letterbox?"},
		{what: "YOLOv7 with suppression inside", model: modelOf(square, op("NonMaxSuppression", "kept", "x"), out("output", float, "n", 7)),
			want: "output.decode: rows; output.columns: [batch, x1, y1, x2, y2, class, score]"},
		{what: "a YOLOv5 P6, with strides up to 64", model: modelOf(in("images", float, 1, 3, 256, 320), out("output0", float, 1, 5100, 8)), want: "output.decode: yolov5; input.resize: letterbox?"},
		{what: "a YOLOv7 with a side that no stride of 64 divides", model: modelOf(in("images", float, 1, 3, 480, 224), out("output", float, 1, 6615, 6)), want: "output.decode: yolov5"},
		{what: "YOLOv5's raw grids", model: modelOf(square, out("a", float, 1, 3, 40, 40, 8), out("b", float, 1, 3, 20, 20, 8), out("c", float, 1, 3, 10, 10, 8)), want: "output.decode: yolov5_raw; output.strides: [8, 16, 32]; output.anchors: [10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]?"},
		{what: "EfficientNMS", model: modelOf(square, out("num_dets", onnxwriter.Int32, 1, 1), out("det_boxes", float, 1, 100, 4), out("det_scores", float, 1, 100), out("det_classes", onnxwriter.Int32, 1, 100)),
			want: "output.decode: boxes; output.boxes: det_boxes; output.box_space: input"},
	}
}
