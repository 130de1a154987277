package exporter

import (
	"errors"
	"testing"

	"fovea/internal/onnxwriter"
	"fovea/internal/repository"
)

// modelInfoOf is metadata of the Model API, of keys without "model_info".
func modelInfoOf(pairs ...string) change {
	keys := make([]string, len(pairs))
	for i, text := range pairs {
		if keys[i] = text; i%2 == 0 {
			keys[i] = "model_info " + text
		}
	}
	return meta(keys...)
}

func openVINOLayouts() []layout {
	classifier := func(pairs ...string) *onnxwriter.Model {
		return modelOf(in("image", float, "b", 3, 224, 224), op("Gemm", "logits", "x"), out("logits", float, "b", 3), out("feature_vector", float, "b", 64),
			modelInfoOf(append([]string{"model_type", "Classification", "task_type", "classification", "labels", "a_1 b c",
				"mean_values", "123.675 116.28 103.53", "scale_values", "58.395 57.12 57.375"}, pairs...)...))
	}
	detector := func(pairs ...string) *onnxwriter.Model {
		return modelOf(image, out("boxes", float, 1, "n", 5), out("labels", whole, 1, "n"),
			modelInfoOf(append([]string{"model_type", "ssd", "task_type", "detection", "labels", "a b", "confidence_threshold", "0.35", "iou_threshold", "0.5"}, pairs...)...))
	}
	return []layout{
		{what: "a classifier of OTX", model: classifier("resize_type", "standard", "reverse_input_channels", "False"), label: "a_1,b,c",
			want: "input.resize: stretch; input.interpolation: opencv_linear; input.color: rgb?; input.scale: 1; input.mean: [123.675, 116.28, 103.53]; output.name: logits; output.decode: softmax"},
		{what: "OTX, labels with spaces", model: classifier("label_info", `{"label_names": ["a 1", "b", "c"]}`), label: "a 1,b,c", want: "labels: labels.txt"},
		{what: "OTX, channels that are reversed", model: classifier("reverse_input_channels", "True"), want: "input.color: rgb"},
		{what: "OTX, a mean with blue first", model: classifier("mean_values", "103.53 116.28 123.675"), want: "input.color: bgr?"},
		{what: "OTX, independent classes", model: classifier("multilabel", "True"), want: "output.decode: sigmoid; output.multi_label: true"},
		{what: "OTX, a hierarchy of classes", model: classifier("hierarchical", "True"), err: "hierarchical classification"},
		{what: "OTX, a crop", model: classifier("resize_type", "crop"), want: "input.resize: crop"},
		{what: "OTX, a resize that is not known", model: classifier("resize_type", "tile"), err: `metadata model_info resize_type: "tile" is not supported`},
		{what: "OTX, a mean that is none", model: classifier("mean_values", "a b"), err: `"a b" is not a list of numbers`},
		{what: "OTX, labels of another model", model: classifier("labels", "a b"), err: "has 3 classes, but there are 2 labels (metadata model_info labels)"},
		{what: "OTX, intensities of 16 bits", model: classifier("intensity_mode", "window"), err: "intensity_mode window is not supported"},
		{what: "a detector of OTX", model: detector("resize_type", "fit_to_window_letterbox", "pad_value", "114", "reverse_input_channels", "True"),
			want: "input.resize: letterbox; input.place: center; input.rounding: round; input.inverse: gain; input.fill: [114]; output.decode: rows; output.columns: [x1, y1, x2, y2, score]; output.classes: labels; output.score_threshold: 0.35; labels: labels.txt"},
		{what: "a detector of OTX, padded at the right and below", model: detector("resize_type", "fit_to_window"), want: "input.place: top_left; input.fill: [0]; input.scale: 1"},
		{what: "a YOLO of OTX", model: modelOf(image, out("output0", float, 1, 6, 1680), modelInfoOf("model_type", "YOLO11", "task_type", "detection", "labels", "a b", "scale_values", "255.0 255.0 255.0", "iou_threshold", "0.6")),
			want: "output.decode: yolo; output.iou_threshold: 0.6; input.resize: stretch; input.std: [255, 255, 255]"},
		{what: "the Model API's SSD with three outputs", model: modelOf(image, out("bboxes", float, 1, "n", 4), out("scores", float, 1, "n"), out("labels", whole, 1, "n"), modelInfoOf("model_type", "SSD")),
			want: "output.decode: boxes; output.box_space: unit; output.class_first: "},
		{what: "a segmentation of OTX", model: modelOf(image, out("o", float, 1, 3, 320, 256), modelInfoOf("model_type", "Segmentation", "task_type", "segmentation")), err: `the model's task is "Segmentation", which is not inferred from such files; write a model.yaml`},
	}
}

// TestNormalizationIsAskedOnce has a detector whose metadata and whose missing pipeline.json both leave it open.
func TestNormalizationIsAskedOnce(t *testing.T) {
	_, _, err := layout{model: modelOf(image, out("boxes", float, 1, "n", 5), out("labels", whole, 1, "n"),
		modelInfoOf("model_type", "ssd", "task_type", "detection", "intensity_mode", "window"))}.infer(t)
	unknown, ok := errors.AsType[*repository.UnknownError](err)
	if !ok || len(unknown.Questions) != 1 || unknown.Questions[0].Key != "normalization" {
		t.Errorf("%v", err)
	}
}
