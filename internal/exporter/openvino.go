package exporter

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// modelInfo is a value of the metadata that OpenVINO's Model API reads (docs of its ONNXRuntimeAdapter): keys are those of an IR's
// runtime information, separated by spaces.
func (b *builder) modelInfo(key string) string { return b.graph.Metadata["model_info "+key] }

// modelInfoNumbers are numbers separated by spaces; nil if there are none.
func (b *builder) modelInfoNumbers(key string) (list []float64) {
	for text := range strings.FieldsSeq(b.modelInfo(key)) {
		v, err := strconv.ParseFloat(text, 64)
		if err != nil {
			b.fail("metadata model_info %s: %.100q is not a list of numbers", key, b.modelInfo(key))
			return nil
		}
		list = append(list, v)
	}
	return list
}

// modelAPI recognizes models with metadata of OpenVINO's Model API, as OpenVINO's Training Extensions export them
// (src/otx/core/exporter/base.py, _embed_onnx_metadata).
func modelAPI(b *builder) bool {
	kind := b.modelInfo("model_type")
	if kind == "" {
		return false
	}
	b.modelInfoLabels()
	switch task := b.modelInfo("task_type"); {
	case b.modelInfo("hierarchical") == "True":
		b.unsupported("hierarchical classification")
	case strings.EqualFold(kind, "Classification"):
		b.modelInfoInput()
		b.modelInfoClassifier()
	case task == "detection", task == "" && strings.EqualFold(kind, "SSD"):
		b.modelInfoInput()
		return b.modelInfoDetector()
	default:
		b.notInferred(strconv.Quote(kind))
	}
	return true
}

// modelInfoLabels takes the labels: label_info has them as they are, and labels with _ instead of spaces.
func (b *builder) modelInfoLabels() {
	var info struct {
		Names []string `json:"label_names"`
	}
	if json.Unmarshal([]byte(b.modelInfo("label_info")), &info) == nil && len(info.Names) > 0 {
		b.takeLabels(info.Names, "metadata model_info label_info")
		return
	}
	b.takeLabels(strings.Fields(b.modelInfo("labels")), "metadata model_info labels")
}

// modelInfoInput sets the preprocessing: resize_image_ocv and its like in model_api/adapters/utils.py, then mean_values and scale_values.
func (b *builder) modelInfoInput() {
	const from = "metadata model_info resize_type"
	b.fixedSize(0, 0, "")
	switch kind := b.modelInfo("resize_type"); kind {
	case "standard", "":
		b.say("input.resize", string(repository.Stretch), from)
	case "crop":
		b.say("input.resize", string(repository.CropFirst), from)
	case "fit_to_window", "fit_to_window_letterbox":
		place := "top_left"
		if kind == "fit_to_window_letterbox" {
			place = "center"
		}
		b.say("input.resize", string(repository.Letterbox), from)
		b.say("input.place", place, from)
		b.say("input.rounding", repository.RoundNearest, from)
		b.say("input.inverse", repository.InverseGain, from)
		fill := b.modelInfoNumbers("pad_value")
		if len(fill) == 0 {
			fill = []float64{0}
		}
		b.say("input.fill", fill, "metadata model_info pad_value")
	default:
		b.fail("%s: %.100q is not supported", from, kind)
	}
	b.say("input.interpolation", repository.OpenCVLinear, from)
	b.modelInfoColors()
}

// modelInfoColors sets the normalization and the order of the channels.
func (b *builder) modelInfoColors() {
	mean, std := b.modelInfoNumbers("mean_values"), b.modelInfoNumbers("scale_values")
	switch reverses := b.modelInfo("reverse_input_channels"); {
	case b.channels != 3 && b.channels > 0:
	case strings.EqualFold(reverses, "True"), strings.EqualFold(reverses, "YES"):
		b.say("input.color", repository.ColorRGB, "metadata model_info reverse_input_channels")
	case len(mean) == 3 && mean[0] < mean[2]:
		b.assume("input.color", repository.ColorBGR, "metadata model_info mean_values, which has the least for the first channel, as ImageNet has for blue")
	default:
		b.assume("input.color", repository.ColorRGB, "OpenVINO's Training Extensions train on RGB")
	}
	if mode := b.modelInfo("intensity_mode"); mode != "" {
		b.askNormalization("metadata model_info intensity_mode "+mode+" is not supported", "unit", "none", "imagenet")
		return
	}
	b.sayNormalization(normalization{scale: 1, mean: mean, std: std}, "metadata model_info mean_values and scale_values")
}

// modelInfoClassifier sets the decoder of scores. Of independent classes the Model API takes logits.
func (b *builder) modelInfoClassifier() {
	const from = "metadata model_info model_type"
	out := b.classOutput()
	if out == nil {
		b.fail("none of the outputs has one score for each class: %s", describeAll(b.graph.Outputs))
		return
	}
	b.say("task", string(repository.Classification), from)
	if b.modelInfo("multilabel") == "True" {
		b.say("output.multi_label", true, "metadata model_info multilabel")
		if b.graph.OutputOps[out.Name] != "Sigmoid" {
			b.say("output.decode", repository.DecodeSigmoid, "metadata model_info multilabel")
		}
	}
	b.scores(*out)
	b.fitLabels(classesOf(*out), out.Name)
}

// modelInfoDetector sets the decoder by the shapes of the outputs, and the thresholds.
func (b *builder) modelInfoDetector() bool {
	b.exporter = "OpenVINO's Model API"
	if v := b.modelInfoNumbers("confidence_threshold"); len(v) == 1 && v[0] >= 0 && v[0] <= 1 {
		b.say("output.score_threshold", v[0], "metadata model_info confidence_threshold")
	}
	if outputs, ok := b.finishedNamed("bboxes", "scores", "labels"); ok { // MultipleOutputParser in model_api/models/ssd.py
		const from = "outputs of the Model API's SSD"
		b.sayFinished(outputs, from)
		b.boxesOf(repository.BoxXYXY, repository.SpaceUnit, from)
		return true
	}
	if !slices.ContainsFunc(byShape, func(r recognizer) bool { return r.recognize(b) }) {
		return false
	}
	for b.dropNotApplicable() { // what is usual with another resize
	}
	if v := b.modelInfoNumbers("iou_threshold"); len(v) == 1 && v[0] > 0 && v[0] <= 1 && b.values["output.iou_threshold"].text != "" {
		b.values["output.iou_threshold"] = value{text(v[0]), "metadata model_info iou_threshold", false}
	}
	return true
}
