package exporter

import (
	"strings"

	"fovea/internal/onnxwriter"
)

// ppocrDetection is the inference.yml of PP-OCRv5's detectors, shortened.
const ppocrDetection = `Global: {model_name: PP-OCRv5_mobile_det}
PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - DetLabelEncode: null
  - DetResizeForTest: {resize_long: 960}
  - NormalizeImage:
      mean: [0.485, 0.456, 0.406]
      order: hwc
      scale: 1./255.
      std: [0.229, 0.224, 0.225]
  - ToCHWImage: null
  - KeepKeys: {keep_keys: [image, shape]}
PostProcess: {name: DBPostProcess, thresh: 0.3, box_thresh: 0.6, max_candidates: 1000, unclip_ratio: 1.5}
`

// ppocrRecognition is the inference.yml of a recognizer of the characters a and b.
const ppocrRecognition = `PreProcess:
  transform_ops:
  - DecodeImage: {channel_first: false, img_mode: BGR}
  - RecResizeImg: {image_shape: [3, 32, 320]}
PostProcess:
  name: CTCLabelDecode
  character_dict: [a, b]
`

// ppclasDirection is the inference.yml of PP-LCNet_x1_0_textline_ori, shortened.
const ppclasDirection = `PreProcess:
  transform_ops:
  - ResizeImage: {size: [160, 80]}
  - NormalizeImage: {channel_num: 3, mean: [0.485, 0.456, 0.406], order: '', scale: 0.00392156862745098, std: [0.229, 0.224, 0.225]}
  - ToCHWImage: null
PostProcess:
  Topk: {topk: 1, label_list: [0_degree, 180_degree]}
`

// textLayouts are those of PaddleOCR's exports, and of others that read text.
func textLayouts() []layout {
	map1 := func(changes ...change) *onnxwriter.Model {
		return modelOf(append([]change{in("x", float, "b", 3, "h", "w"), op("Sigmoid", "sigmoid_0.tmp_0", "y"), out("sigmoid_0.tmp_0", float, "b", 1, "h", "w")}, changes...)...)
	}
	line := func(classes int, changes ...change) *onnxwriter.Model {
		return modelOf(append([]change{in("x", float, "b", 3, "?", "w"), op("Softmax", "softmax_11.tmp_0", "y"), out("softmax_11.tmp_0", float, "b", "t", classes)}, changes...)...)
	}
	steps := func(step string) map[string]string {
		return map[string]string{"inference.yml": strings.Replace(ppocrDetection, "{resize_long: 960}", step, 1)}
	}
	list := []layout{
		{what: "PP-OCR's detector", model: map1(), want: "task: text_detection; output.decode: db; input.resize: limit?; input.shortest_edge: 736?; input.longest_edge: 2000?; input.multiple: 32?; " +
			"input.max_aspect: 8?; input.color: bgr?; input.mean: [0.5]?; input.std: [0.5]?; output.score_threshold: 0.5?; output.unclip_ratio: 1.6?; output.dilate: true?; labels: "},
		{what: "PP-OCRv6's, whose file leaves the number of maps open", model: modelOf(in("x", float, "b", 3, "h", "w"), op("Sigmoid", "fetch_name_0", "y"), out("fetch_name_0", float, "b", "c", "h", "w")), want: "task: text_detection"},
		{what: "settings of the detector", model: map1(), set: settingsOf("normalization=imagenet;shortest_edge=480;dilate=false;score_threshold=0.7"),
			want: "input.resize: limit?; input.mean: [0.485, 0.456, 0.406]; input.shortest_edge: 480; output.dilate: false; output.score_threshold: 0.7"},
		{what: "a detector of fixed size", model: modelOf(in("x", float, 1, 3, 640, 640), op("Sigmoid", "sigmoid_0.tmp_0", "y"), out("sigmoid_0.tmp_0", float, 1, 1, 640, 640)), want: "task: text_detection; input.resize: stretch?; input.shortest_edge: "},
		{what: "inference.yml of a detector", model: map1(), files: map[string]string{"inference.yml": ppocrDetection}, want: "input.resize: longest_edge; input.longest_edge: 960; input.multiple: 128; input.to_multiple: ceil; " +
			"input.color: bgr; input.mean: [0.485, 0.456, 0.406]; output.score_threshold: 0.6; output.unclip_ratio: 1.5; output.max_candidates: 1000; output.dilate: "},
		{what: "inference.yml that limits the longer side", model: map1(), files: steps("{limit_side_len: 960, limit_type: max}"), want: "input.resize: limit; input.longest_edge: 960; input.shortest_edge: ; input.max_aspect: "},
		{what: "inference.yml that limits the shorter side", model: map1(), files: steps("{limit_side_len: 640, limit_type: min}"), want: "input.resize: limit; input.shortest_edge: 640; input.longest_edge: "},
		{what: "inference.yml without a limit", model: map1(), files: steps("null"), want: "input.resize: limit; input.shortest_edge: 736"},
		{what: "inference.yml with a size", model: map1(), files: steps("{image_shape: [736, 1280]}"), want: "input.resize: stretch; input.width: 1280; input.height: 736"},
		{what: "PP-OCR's recognizer", model: line(5, meta("character", "a\nb\n\u3000")), label: "a,b,\u3000, ", want: "task: text_recognition; output.decode: ctc; input.resize: fit_height?; input.height: 48?; " +
			"input.width: 3200?; input.min_width: 320?; input.fill: [127.5]?; input.color: bgr?; labels: labels.txt"},
		{what: "characters that include the space", model: line(4, meta("character", "a\nb\n ")), label: "a,b, ", want: "labels: labels.txt"},
		{what: "a dictionary next to the file", model: line(5), files: map[string]string{"en_dict.txt": "a\nb\nc\n", "fr_dict.txt": "a\n"}, label: "a,b,c, ", want: "task: text_recognition"},
		{what: "a dictionary with a blank", model: line(4), files: map[string]string{"keys.txt": "blank\na\nb\nc\n"}, label: "a,b,c", want: "task: text_recognition"},
		{what: "two dictionaries that fit", model: line(5), files: map[string]string{"en_dict.txt": "a\nb\nc", "fr_dict.txt": "x\ny\nz"}, err: "say labels=en_dict.txt or fr_dict.txt"},
		{what: "one of them, said", model: line(5), files: map[string]string{"en_dict.txt": "a\nb\nc", "fr_dict.txt": "x\ny\nz"}, set: said("labels", "fr_dict.txt"), label: "x,y,z, ", want: "task: text_recognition"},
		{what: "no dictionary", model: line(5), err: "has the scores of 4 characters after a blank"},
		{what: "a dictionary of another model", model: line(9), set: said("labels", "a,b"), err: "has 9 classes, but there are 2 characters (set); want 8, or 7 without the space at their end"},
		{what: "inference.yml of a recognizer", model: line(4), files: map[string]string{"inference.yml": ppocrRecognition}, label: "a,b, ", want: "input.height: 32; input.min_width: 320?; input.color: bgr"},
		{what: "a recognizer of fixed size", model: modelOf(in("x", float, 1, 3, 32, 100), op("Softmax", "fetch_name_0", "y"), out("fetch_name_0", float, 1, 25, 4), meta("character", "a\nb")), want: "input.resize: fit_height?; input.min_width: ; input.height: ; input.width: "},
		{what: "a recognizer of logits, said", model: modelOf(in("image", float, 1, 3, 32, 100), op("MatMul", "out", "y"), out("out", float, 1, 25, 4)), set: settingsOf("task=text_recognition;labels=a,b,c"), want: "output.decode: ctc; output.activation: softmax"},
		{what: "height, said", model: line(4, meta("character", "a\nb")), set: said("height", "32"), want: "input.height: 32; input.min_width: 320?"},
		{what: "a width that is fixed", model: line(4, meta("character", "a\nb")), set: said("size", "160x32"), want: "input.height: 32; input.width: 160; input.min_width: "},
		{what: "a classifier of directions of documents", model: modelOf(in("x", float, "b", 3, 224, 224), op("Softmax", "fetch_name_0", "y"), out("fetch_name_0", float, "b", 4), meta("character", "0\n90\n180\n270")), label: "0,90,180,270",
			want: "task: classification; output.decode: probabilities; input.resize: shortest_edge?; input.shortest_edge: 256?; input.crop_offset: floor?; input.color: bgr?; input.mean: [0.485, 0.456, 0.406]?"},
		{what: "a classifier of directions of lines, of another size", model: modelOf(in("x", float, "b", 3, 80, 160), op("Softmax", "fetch_name_0", "y"), out("fetch_name_0", float, "b", 2)), label: "0,180", want: "input.resize: fit_height?; input.width: ; input.color: bgr?"},
		{what: "inference.yml of a classifier", model: modelOf(in("x", float, "b", 3, "h", "w"), op("Softmax", "fetch_name_0", "y"), out("fetch_name_0", float, "b", 2)), files: map[string]string{"inference.yml": ppclasDirection}, label: "0_degree,180_degree",
			want: "input.resize: stretch; input.width: 160; input.height: 80; input.color: rgb?; input.mean: [0.485, 0.456, 0.406]"},
		{what: "inference.yml of a classifier that crops", model: modelOf(in("x", float, "b", 3, "h", "w"), op("Softmax", "fetch_name_0", "y"), out("fetch_name_0", float, "b", 2)),
			files: map[string]string{"inference.yml": strings.Replace(ppclasDirection, "- ResizeImage: {size: [160, 80]}", "- ResizeImage: {resize_short: 256}\n  - CropImage: {size: 224}", 1)}, want: "input.resize: shortest_edge; input.shortest_edge: 256; input.width: 224; input.crop_offset: floor"},
		{what: "a map of classes of PaddleSeg", model: modelOf(in("x", float, "b", 3, "h", "w"), out("fetch_name_0", float, "b", 3, "h", "w"), op("Conv", "fetch_name_0", "x")), set: said("task", "semantic_segmentation"), want: "task: semantic_segmentation"},
	}
	return list
}
