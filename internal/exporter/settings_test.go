package exporter

import (
	"testing"

	"fovea/internal/onnxwriter"
)

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
	return []layout{
		{what: "stretch, where the shorter side is usual", model: modelOf(fixed, classes), set: said("resize", "stretch"), want: "input.resize: stretch; input.shortest_edge: ; input.interpolation: pillow_bilinear?"},
		{what: "a shorter side, where stretch is usual", model: modelOf(in("input_1", float, "n", 160, 160, 3), classes), set: map[string]string{"shortest_edge": "180", "normalization": "unit"}, want: "input.resize: shortest_edge; input.shortest_edge: 180"},
		{what: "a shorter side, where a letterbox is usual", model: yolo(), set: said("shortest_edge", "360"), want: "input.resize: shortest_edge; input.fill: ; input.place: "},
		{what: "a letterbox, where the shorter side is usual", model: modelOf(fixed, classes), set: map[string]string{"resize": "letterbox", "fill": "0"}, want: "input.resize: letterbox; input.fill: [0]; input.shortest_edge: "},
		{what: "stretch, where a letterbox is usual", model: yolo(), set: said("resize", "stretch"), want: "input.resize: stretch; input.fill: ; input.place: "},
		{what: "stretch, where a letterbox with a stride is usual", model: dynamic(), set: said("resize", "stretch"), want: "input.resize: stretch; input.stride: ; input.width: 256"},
		{what: "anchors by stride", model: modelOf(in("images", float, 1, 3, 320, 320), out("a", float, 1, 3, 20, 20, 8), out("b", float, 1, 3, 10, 10, 8)), set: map[string]string{"anchors": "[[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]]", "normalization": "unit"},
			want: "output.anchors: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]; output.strides: [16, 32]"},
		{what: "keys of Ultralytics", model: dynamic(), set: map[string]string{"names": "x,y,z", "imgsz": "[96, 128]", "conf": "0.5", "iou": "0.6", "max_det": "7", "colour": "bgr"},
			want: "input.width: 128; input.height: 96; output.score_threshold: 0.5; output.iou_threshold: 0.6; output.max_boxes: 7; input.color: bgr"},
		{what: "no suppression", model: yolo(), set: said("nms", "none"), want: "output.nms: none; output.iou_threshold: ; output.score_threshold: 0.25?"},
		{what: "finished boxes that are said to be a grid", model: modelOf(in("images", float, 1, 3, 320, 320), out("x", float, 1, 300, 6)), set: said("decode", "yolov5"), want: "output.decode: yolov5; output.columns: "},
		{what: "a grid that is said to be finished boxes", model: modelOf(in("images", float, 1, 3, 160, 160), out("x", float, 1, 525, 6)), set: said("decode", "rows"), want: "output.decode: rows; output.iou_threshold: "},
	}
}

func TestNormalizationsMayBeNamesFormulasAndLists(t *testing.T) {
	for name, want := range map[string][3]string{ // scale, mean, std
		"unit (PP-YOLOE+)": {text(1.0 / 255), "[0]", "[1]"}, "x / 255": {text(1.0 / 255), "[0]", "[1]"}, "0-1": {text(1.0 / 255), "[0]", "[1]"},
		"x/127.5 - 1": {text(1 / 127.5), "[1]", "[1]"}, "[-1, 1]": {text(1 / 127.5), "[1]", "[1]"}, "Half": {text(1 / 127.5), "[1]", "[1]"},
		"(x-127)/128": {"1", "[127]", "[128]"}, "raw": {"1", "[0]", "[1]"},
		"[[0.5, 0.25, 1], [0.5, 0.5, 0.5]]":     {text(1.0 / 255), "[0.5, 0.25, 1]", "[0.5, 0.5, 0.5]"},
		"[[123.7, 116.3, 103.5], [58, 57, 57]]": {"1", "[123.7, 116.3, 103.5]", "[58, 57, 57]"}, "[[0], [255]]": {"1", "[0]", "[255]"},
	} {
		b := &builder{settings: map[string]string{}}
		err := b.setNormalization(name)
		if got := [3]string{b.settings["input.scale"], b.settings["input.mean"], b.settings["input.std"]}; err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, want)
		}
	}
	for _, name := range []string{"(unit)", "x/0", "x/1.2.3", "(x-1)/", "[[1]]", "y/255"} {
		if err := (&builder{settings: map[string]string{}}).setNormalization(name); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
