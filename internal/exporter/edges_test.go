package exporter

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"fovea/internal/onnxwriter"
)

// edgeLayouts are rare values and files that are wrong.
func edgeLayouts() []layout {
	fixed := in("input", float, "b", 3, 96, 96)
	open := in("input", float, "b", 3, "h", "w")
	classes := out("y", float, "b", 3)
	timm := func(cfg string) map[string]string {
		return map[string]string{"config.json": `{"architecture": "x", "pretrained_cfg": {` + cfg + `}}`}
	}
	filter := func(name string) map[string]string {
		return timm(`"input_size": [3, 96, 96], "interpolation": "` + name + `"`)
	}
	hub := func(kind, processor string) map[string]string {
		return map[string]string{"config.json": `{"model_type": "` + kind + `", "transformers_version": "4.30.0", "id2label": {"0": "a", "1": "b", "2": "c"}}`, "preprocessor_config.json": processor}
	}
	detector := func(input change) *onnxwriter.Model {
		return modelOf(input, out("logits", float, "b", "q", 4), out("pred_boxes", float, "b", "q", 4))
	}
	ocr := func(classes int, size ...any) *onnxwriter.Model {
		return modelOf(in("x", float, append([]any{"b", 3}, size...)...), op("Softmax", "save_infer_model/scale_0.tmp_1", "y"), out("save_infer_model/scale_0.tmp_1", float, "b", classes))
	}
	return []layout{
		{what: "PaddleOCR's direction of text", model: ocr(2, "h", "w"), want: "input.width: 192?; input.height: 48?; input.resize: fit_height?; input.color: bgr?; output.decode: probabilities; labels: labels.txt"},
		{what: "another classifier of that name", model: ocr(3, 96, 96), want: "input.shortest_edge: 110?"},
		{what: "timm, nearest", model: modelOf(fixed, classes), files: filter("nearest"), want: "input.interpolation: pillow_nearest; input.shortest_edge: 109"},
		{what: "timm, bilinear", model: modelOf(fixed, classes), files: filter("bilinear"), want: "input.interpolation: pillow_bilinear; output.name: "},
		{what: "timm, box", model: modelOf(fixed, classes), files: filter("box"), want: "input.interpolation: pillow_box"},
		{what: "timm, hamming", model: modelOf(fixed, classes), files: filter("hamming"), want: "input.interpolation: pillow_hamming"},
		{what: "timm, lanczos", model: modelOf(fixed, classes), files: filter("lanczos"), want: "input.interpolation: pillow_lanczos"},
		{what: "timm without a size", model: modelOf(open, classes), files: timm(`"crop_pct": 0.9`), err: "input.width"},
		{what: "timm with a border of ImageNet's mean", model: modelOf(fixed, classes), files: timm(`"crop_mode": "border", "crop_pct": 1`), want: "input.fill: [124, 116, 104]"},
		{what: "timm's older config.json, without pretrained_cfg", model: modelOf(fixed, classes), files: map[string]string{"config.json": `{"architecture": "x", "input_size": [3, 96, 96], "crop_pct": 0.96, "labels": ["a", "b", "c"]}`}, want: "input.shortest_edge: 100; labels: labels.txt"},
		{what: "timm of one class", model: modelOf(fixed, out("y", float, "b", 1)), files: timm(`"input_size": [3, 96, 96], "label_names": ["ok"]`), want: "output.decode: sigmoid?; labels: labels.txt"},
		{what: "timm with a label less", model: modelOf(fixed, classes), files: timm(`"label_names": ["a", "b"]`), err: "has 3 classes, but there are 2 labels (config.json label_names)"},
		{what: "timm's features", model: modelOf(fixed, out("y", float, "b", 64, 7, 7)), files: timm(`"input_size": [3, 96, 96]`), err: "say task="},
		{what: "a processor that does not resize", model: modelOf(open, out("logits", float, "b", 3)), files: hub("vit", `{"image_processor_type": "ViTImageProcessor", "do_resize": false}`), want: "input.resize: none"},
		{what: "a processor without a size", model: modelOf(fixed, out("logits", float, "b", 3)), files: hub("x", `{"image_processor_type": "XImageProcessor", "image_mean": [0.5, 0.5, 0.5]}`), want: "input.resize: stretch?; input.mean: [0.5, 0.5, 0.5]"},
		{what: "a size of a list", model: modelOf(open, out("logits", float, "b", 3)), files: hub("vit", `{"image_processor_type": "ViTImageProcessor", "size": [64, 96]}`), want: "input.width: 96; input.height: 64"},
		{what: "PoolFormer, which enlarges by crop_pct", model: modelOf(open, out("logits", float, "b", 3)), files: hub("poolformer", `{"image_processor_type": "PoolFormerImageProcessor"}`), want: "input.shortest_edge: 248; input.width: 224"},
		{what: "PoolFormer without crop_pct", model: modelOf(open, out("logits", float, "b", 3)), files: hub("poolformer", `{"image_processor_type": "PoolFormerImageProcessor", "crop_pct": null}`), want: "input.shortest_edge: 224; input.width: 224"},
		{what: "ConvNeXt with a crop_pct that is no ratio", model: modelOf(open, out("logits", float, "b", 3)), files: hub("convnext", `{"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0}`), want: "input.shortest_edge: 256; input.width: 224"},
		{what: "DETR without labels in config.json", model: detector(fixed), files: map[string]string{"config.json": `{"model_type": "detr"}`, "labels.txt": "a\nb\nc\n"}, set: said("normalization", "imagenet"), want: "output.activation: softmax; labels: labels.txt"},
		{what: "DETR with labels of another model", model: detector(fixed), files: map[string]string{"config.json": `{"model_type": "detr"}`, "labels.txt": "a\nb\nc\nd\n"}, set: said("normalization", "imagenet"), err: "has 4 classes, the last of which is no object, but there are 4 labels (labels.txt)"},
		{what: "a successor of DETR with a label less than classes", model: detector(fixed), files: map[string]string{"config.json": `{"model_type": "conditional_detr"}`, "labels.txt": "a\nb\nc\n"}, set: said("normalization", "imagenet"), err: "if class 0 is a background, this is 1"},
		{what: "DETR in a file of fixed size", model: detector(fixed), files: hub("detr", `{"image_processor_type": "DetrImageProcessor"}`), want: "input.resize: stretch?; output.max_boxes: 300"},
		{what: "DETR with a mask", model: modelOf(open, in("pixel_mask", whole, "b", "h", "w"), out("logits", float, "b", 100, 4), out("pred_boxes", float, "b", 100, 4)), files: hub("detr", `{"image_processor_type": "DetrImageProcessor"}`), want: "input.name: input; input.extra: [{name: pixel_mask, value: pixel_mask}]; input.resize: fit"},
		{what: "DETR with a mask of real numbers and of another size", model: modelOf(open, in("pixel_mask", float, "b", 64, 64), out("logits", float, "b", 100, 4), out("pred_boxes", float, "b", 100, 4)), files: hub("detr", `{"image_processor_type": "DetrImageProcessor"}`), want: "input.name: input; input.extra: [{name: pixel_mask, value: pixel_mask}]"},
		{what: "RT-DETR, padded to its size", model: detector(open), files: hub("detr", `{"image_processor_type": "RTDetrImageProcessor", "size": {"max_height": 64, "max_width": 96}, "do_normalize": false}`), want: "input.resize: letterbox; input.width: 96; input.fill: [0]"},
		{what: "no processor and a size in config.json", model: modelOf(open, out("logits", float, "b", 3)), files: map[string]string{"config.json": `{"architectures": ["A"], "image_size": 64}`}, set: said("normalization", "clip"), want: "input.width: 64; input.color: rgb?"},
		{what: "a depth estimator of transformers", model: modelOf(open, out("predicted_depth", float, "b", "h", "w")), files: map[string]string{"config.json": `{"architectures": ["DepthModel"], "model_type": "d"}`}, set: map[string]string{"size": "224", "normalization": "imagenet"}, want: "task: depth; output.decode: map"},
		{what: "a scale of channels with 16 bits", model: modelOf(fixed, constant("s", 0, 0, 0), op("Mul", "d", "input", "s"), op("Conv", "c", "d"), classes), err: "normalization"},
		{what: "a scale by multiplication", model: modelOf(fixed, constant("s", 0.0078125), op("Mul", "d", "input", "s"), op("Conv", "c", "d"), classes), want: "input.scale: 1"},
		{what: "a mean of 0 to 255 alone", model: modelOf(fixed, constant("m", 103.9, 116.8, 123.7), op("Sub", "d", "input", "m"), op("Conv", "c", "d"), classes), want: "input.scale: 1; input.mean: "},
		{what: "a mean of 0 to 1 and the deviation of SSD300", model: modelOf(fixed, constant("m", 0.48, 0.46, 0.41), constant("s", 1.0/255), op("Sub", "a", "input", "m"), op("Div", "d", "a", "s"), op("Conv", "c", "d"), classes), want: "input.scale: 0.00392156862745098; input.mean: "},
		{what: "a mean after the scale", model: modelOf(fixed, constant("s", 1/127.5), constant("m", 1), op("Mul", "a", "input", "s"), op("Sub", "d", "a", "m"), op("Conv", "c", "d"), classes), want: "input.scale: 1; input.mean: "},
		{what: "a scale of 2 and a mean after it", model: modelOf(fixed, constant("s", 2), constant("m", -1), op("Mul", "a", "input", "s"), op("Add", "d", "a", "m"), op("Conv", "c", "d"), classes), want: "input.scale: 0.00392156862745098; input.mean: "},
		{what: "Inception's transform_input, which takes values normalized as for ImageNet", model: modelOf(fixed, constant("s", 0.458), constant("m", -0.03), op("Mul", "a", "input", "s"), op("Add", "d", "a", "m"), op("Conv", "c", "d"), classes), err: "normalization=unit or none or imagenet"},
		{what: "a multiplication by 1", model: modelOf(fixed, constant("s", 1), op("Mul", "a", "input", "s"), op("Conv", "c", "a"), classes), err: "normalization"},
		{what: "a division after an exponential", model: modelOf(fixed, op("Exp", "e", "x"), op("Div", "y", "e", "s"), classes), want: "output.decode: softmax"},
		{what: "a rounded factor of 1/255", model: modelOf(open, out("logits", float, "b", 3)), files: hub("vit", `{"image_processor_type": "ViTImageProcessor", "rescale_factor": 0.003921569}`), want: "input.scale: 0.00392156862745098"},
		{what: "a short name of a filter of Pillow", model: modelOf(fixed, classes), set: said("interpolation", "cubic"), want: "input.interpolation: pillow_bicubic"},
		{what: "a short name of a filter of OpenCV", model: modelOf(in("images", float, 1, 3, 320, 320), out("output0", float, 1, 7, 2100)), set: said("interpolation", "Cubic"), want: "input.interpolation: opencv_cubic"},
		{what: "a full name of a filter", model: modelOf(fixed, classes), set: said("interpolation", "area_linear"), want: "input.interpolation: area_linear"},
		{what: "a softmax by its parts", model: modelOf(fixed, op("Exp", "e", "x"), op("ReduceSum", "s", "e"), op("Div", "y", "e", "s"), classes), want: "output.decode: probabilities?"},
		{what: "two images", model: modelOf(fixed, in("other", float, 1, 3, 96, 96), classes), err: "say input.name=input or other"},
		{what: "a size that is none", model: modelOf(open, classes), set: said("size", "big"), err: "is not a size"},
		{what: "width and height", model: modelOf(open, classes), set: said("size", "96x64"), want: "input.width: 96; input.height: 64; input.resize: stretch?"},
		{what: "labels from a file", model: modelOf(fixed, classes), files: map[string]string{"mine.txt": "a\nb\nc"}, set: said("labels", "mine.txt"), want: "labels: labels.txt"},
		{what: "labels that are no list", model: modelOf(fixed, classes), set: said("labels", "[1"), err: "is not a JSON list"},
		{what: "an empty setting", model: modelOf(fixed, classes), set: said("labels", " "), err: "has no value"},
		{what: "a setting of several lines", model: modelOf(fixed, classes), set: said("description", "a\nb"), err: "more than one line"},
		{what: "an exporter that does not exist", model: modelOf(fixed, classes), set: said("exporter", "x"), err: "is not one of fovea, ultralytics"},
		{what: "a label that cannot be printed", model: modelOf(fixed, classes), files: map[string]string{"config.json": `{"model_type": "vit", "id2label": {"0": "a\u0007"}}`}, err: "labels from config.json id2label"},
		{what: "labels of a broken file", model: modelOf(fixed, classes), files: map[string]string{"labels.txt": "a\n\nb"}, err: "labels.txt: line 2 is empty"},
		{what: "names that are no list", model: modelOf(in("images", float, 1, 3, 96, 96), out("output0", float, 1, 7, 189), meta("task", "detect", "names", "a; b")), err: "metadata names"},
		{what: "a config.pbtxt with a broken text", model: modelOf(fixed, classes), files: map[string]string{"config.pbtxt": "input { name: 'x }"}, err: "config.pbtxt: not protobuf text at byte 14"},
		{what: "a config.pbtxt that is broken", model: modelOf(fixed, classes), files: map[string]string{"config.pbtxt": "input {"}, err: "config.pbtxt: not protobuf text"},
		{what: "Fovea's metadata that is broken", model: modelOf(fixed, classes, meta(definitionKey, "task: [")), err: "metadata fovea.definition"},
		{what: "Fovea's metadata with an unknown task", model: modelOf(fixed, classes, meta(definitionKey, "task: x\noutput: {decode: softmax}")), err: "task"},
		{what: "a task of several labels", model: modelOf(fixed, op("Gemm", "y", "x"), classes), set: said("task", "multilabel_classification"), want: "task: classification; output.decode: sigmoid; output.multi_label: true"},
		{what: "another task", model: modelOf(fixed, classes), set: said("task", "detection"), err: "no known"},
		{what: "another task of several outputs", model: modelOf(fixed, classes, out("z", float, "b", 4)), set: said("task", "detection"), err: "no known"},
	}
}

func TestLiteralsOfPython(t *testing.T) {
	for text, want := range map[string]string{
		"{0: 'a', 1: \"b'\"}": "map[0:a 1:b']", "[1, 2.5, -3]": "[1 2.5 -3]", "(True, False, None)": "[true false <nil>]", "'\\u00e9\\n'": "é\n", "[]": "[]", "{}": "map[]", "[1,]": "[1]",
	} {
		if v, err := literal(text); err != nil || sprint(v) != want {
			t.Errorf("%s: %s, %v; want %s", text, sprint(v), err, want)
		}
	}
	for _, text := range []string{"", "x", "[1 2]", "{'a' 1}", "{'a': 1 'b': 2}", "{[: 1}", "{'a': [}", "'a", "'\\", "'\\q'", "[1] 2", strings.Repeat("(", 20) + strings.Repeat(")", 20)} {
		if v, err := literal(text); err == nil {
			t.Errorf("%s: %v; want an error", text, v)
		}
	}
}

func TestFilesThatCannotBeReadAreErrors(t *testing.T) {
	l := layout{model: modelOf(in("input", float, 1, 3, 224, 224), out("y", float, 1, 3))}
	for _, name := range []string{"labels.txt", "config.json", "config.pbtxt"} {
		files := unreadable{fstest.MapFS{name: {Data: []byte("x")}}}
		if _, err := Infer(graphOf(t, l.model), files, nil); err == nil || !strings.Contains(err.Error(), "unreadable") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// unreadable are files that exist and cannot be read.
type unreadable struct{ fstest.MapFS }

func (u unreadable) ReadFile(string) ([]byte, error) { return nil, errors.New("unreadable") }

func sprint(v any) string { return fmt.Sprint(v) }
