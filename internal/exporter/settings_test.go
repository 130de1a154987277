package exporter

import "fovea/internal/onnxwriter"

// settingLayouts are models of which the user says a key that others depend on.
func settingLayouts() []layout {
	fixed := in("input", float, "b", 3, 224, 224)
	classes := out("y", float, "b", 3)
	yolo := func() *onnxwriter.Model {
		return modelOf(in("images", float, 1, 3, 320, 320), out("output0", float, 1, 7, 2100))
	}
	dynamic := func() *onnxwriter.Model {
		return modelOf(in("images", float, "b", 3, "h", "w"), out("output0", float, "b", 7, "n"), meta(ultralyticsOf("detect")...))
	}
	said := func(key, value string) map[string]string { return map[string]string{key: value} }
	return []layout{
		{what: "stretch, where the shorter side is usual", model: modelOf(fixed, classes), set: said("resize", "stretch"), want: "input.resize: stretch; input.shortest_edge: ; input.interpolation: pillow_bilinear?"},
		{what: "a shorter side, where stretch is usual", model: modelOf(in("input_1", float, "n", 160, 160, 3), classes), set: map[string]string{"shortest_edge": "180", "normalization": "unit"}, want: "input.resize: shortest_edge; input.shortest_edge: 180"},
		{what: "a shorter side, where a letterbox is usual", model: yolo(), set: said("shortest_edge", "360"), want: "input.resize: shortest_edge; input.fill: ; input.place: "},
		{what: "a letterbox, where the shorter side is usual", model: modelOf(fixed, classes), set: map[string]string{"resize": "letterbox", "fill": "0"}, want: "input.resize: letterbox; input.fill: [0]; input.shortest_edge: "},
		{what: "stretch, where a letterbox is usual", model: yolo(), set: said("resize", "stretch"), want: "input.resize: stretch; input.fill: ; input.place: "},
		{what: "stretch, where a letterbox with a stride is usual", model: dynamic(), set: said("resize", "stretch"), want: "input.resize: stretch; input.stride: ; input.width: 256"},
		{what: "no suppression", model: yolo(), set: said("nms", "none"), want: "output.nms: none; output.iou_threshold: ; output.score_threshold: 0.25?"},
		{what: "finished boxes that are said to be a grid", model: modelOf(in("images", float, 1, 3, 320, 320), out("x", float, 1, 300, 6)), set: said("decode", "yolov5"), want: "output.decode: yolov5; output.columns: "},
		{what: "a grid that is said to be finished boxes", model: modelOf(in("images", float, 1, 3, 160, 160), out("x", float, 1, 525, 6)), set: said("decode", "rows"), want: "output.decode: rows; output.iou_threshold: "},
	}
}
