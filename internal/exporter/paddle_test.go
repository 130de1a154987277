package exporter

import "fovea/internal/onnxwriter"

// paddleLayouts are models of PaddleDetection with configurations of its architectures.
func paddleLayouts() []layout {
	fixed := func(more ...change) *onnxwriter.Model {
		return modelOf(append([]change{in("image", float, 1, 3, 416, 320), in("scale_factor", float, 1, 2), out("nms", float, "n", 6), out("count", onnxwriter.Int32, 1)}, more...)...)
	}
	open := func(more ...change) *onnxwriter.Model {
		return modelOf(append([]change{in("image", float, "b", 3, "h", "w"), in("scale_factor", float, "b", 2), in("im_shape", float, "b", 2), out("nms", float, "n", 6)}, more...)...)
	}
	cfg := func(text string) map[string]string { return map[string]string{"infer_cfg.yml": text} }
	const imagenet = "- type: NormalizeImage\n  mean: [0.485, 0.456, 0.406]\n  std: [0.229, 0.224, 0.225]\n  is_scale: true\n"
	const stretch = "Preprocess:\n- type: Resize\n  interp: 2\n  keep_ratio: false\n  target_size: [416, 320]\n"
	return []layout{
		{what: "PP-YOLOE+, which only scales", model: fixed(), files: cfg("draw_threshold: 0.4\n" + stretch + "- type: NormalizeImage\n  mean: [0.0, 0.0, 0.0]\n  std: [1.0, 1.0, 1.0]\n  norm_type: none\n- type: Permute\nlabel_list: [a, b]\n"),
			want: "input.resize: stretch; input.interpolation: opencv_cubic; input.scale: 0.00392156862745098; input.mean: ; output.score_threshold: 0.4; labels: labels.txt"},
		{what: "PicoDet", model: fixed(), files: cfg("arch: PicoDet\nNMS:\n  name: MultiClassNMS\n" + stretch + imagenet + "- type: Permute\n"), want: "input.mean: [0.485, 0.456, 0.406]; input.std: [0.229, 0.224, 0.225]; output.columns: [class, score, x1, y1, x2, y2]"},
		{what: "RT-DETR", model: open(), files: cfg("arch: DETR\nPreprocess:\n- type: Resize\n  interp: 2\n  keep_ratio: false\n  target_size: [640, 512]\n- type: NormalizeImage\n  mean: [0, 0, 0]\n  std: [1, 1, 1]\n  norm_type: none\n- type: Permute\n"),
			want: "input.width: 512; input.height: 640; input.extra: [{name: scale_factor, value: scale_factor_hw}, {name: im_shape, value: input_size_hw}]; input.resize: stretch"},
		{what: "a normalization in the graph, with fuse_normalize", model: fixed(), files: cfg(stretch + "- type: Permute\n"), want: "input.scale: 1; input.mean: "},
		{what: "Faster R-CNN, of open size", model: open(), files: cfg("Preprocess:\n- type: Resize\n  interp: 1\n  keep_ratio: true\n  target_size: [800, 1333]\n" + imagenet + "- type: Permute\n- type: PadStride\n  stride: 32\n"),
			want: "input.resize: fit; input.shortest_edge: 800; input.longest_edge: 1333; input.stride: 32; input.fill: [123.675, 116.28, 103.53]; input.rounding: round; input.interpolation: opencv_linear; input.width: "},
		{what: "an open size without a stride", model: open(), files: cfg("Preprocess:\n- type: Resize\n  keep_ratio: true\n  target_size: 608\n" + imagenet), want: "input.resize: fit; input.shortest_edge: 608; input.longest_edge: 608; input.stride: ; input.fill: "},
		{what: "an open size that is set", model: open(), files: cfg("Preprocess:\n- type: Resize\n  keep_ratio: true\n  target_size: 608\n" + imagenet), set: map[string]string{"size": "320"}, want: "input.resize: letterbox; input.width: 320; input.fill: [123.675, 116.28, 103.53]"},
		{what: "YOLOX, padded before the normalization", model: open(), files: cfg("Preprocess:\n- type: Resize\n  keep_ratio: true\n  target_size: [640, 640]\n- type: Pad\n  size: [640, 640]\n  fill_value: [114.0, 114.0, 114.0]\n- type: NormalizeImage\n  mean: [0, 0, 0]\n  std: [1, 1, 1]\n  is_scale: false\n"),
			want: "input.resize: letterbox; input.place: top_left; input.fill: [114, 114, 114]; input.scale: 1; input.width: 640; input.inverse: gain"},
		{what: "Pad's own color", model: fixed(), files: cfg("Preprocess:\n- type: Resize\n  keep_ratio: true\n  target_size: [416, 320]\n- type: Pad\n  size: [416, 320]\n" + imagenet), want: "input.resize: letterbox; input.fill: [127.5]"},
		{what: "LetterBoxResize", model: open(), files: cfg("Preprocess:\n- type: LetterBoxResize\n  target_size: [608, 1088]\n" + imagenet), want: "input.width: 1088; input.height: 608; input.resize: letterbox; input.place: center; input.fill: [127.5]; input.interpolation: opencv_area; input.inverse: gain; input.color: rgb"},
		{what: "PaddleX's name of the configuration", model: fixed(), files: map[string]string{"inference.yml": stretch + imagenet}, want: "input.resize: stretch; input.mean: [0.485, 0.456, 0.406]"},
		{what: "no configuration", model: fixed(), err: "say normalization=imagenet (PP-YOLOE) or unit (PP-YOLOE+)"},
		{what: "no configuration and an open size", model: open(), set: map[string]string{"normalization": "unit"}, want: "input.width: 640?; input.resize: stretch?; input.interpolation: opencv_cubic?"},
		{what: "a step that is not known", model: fixed(), files: cfg("Preprocess:\n- type: WarpAffine\n" + imagenet), err: `the step "WarpAffine"`},
		{what: "a threshold out of range", model: fixed(), files: cfg("draw_threshold: 1.5\n" + stretch + imagenet), want: "output.score_threshold: "},
		{what: "masks", model: fixed(), files: cfg("mask: true\n" + stretch + imagenet), err: "instance segmentation"},
		{what: "a broken configuration", model: fixed(), files: cfg("Preprocess: {"), err: "infer_cfg.yml"},
	}
}
