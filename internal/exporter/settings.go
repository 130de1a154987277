package exporter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// normalization is a named way from pixel values to the model's input: (v·scale − mean) / std.
type normalization struct {
	scale     float64
	mean, std []float64
	color     string // empty: as the exporter has it
}

// The named normalizations. Values of ImageNet are torchvision's, of CLIP OpenAI's, and Caffe's those of keras.applications'
// mode "caffe".
var normalizations = map[string]normalization{
	"none":      {1, []float64{0}, []float64{1}, ""},
	"unit":      {1.0 / 255, []float64{0}, []float64{1}, ""},
	"imagenet":  {1.0 / 255, []float64{0.485, 0.456, 0.406}, []float64{0.229, 0.224, 0.225}, ""},
	"inception": {1 / 127.5, []float64{1}, []float64{1}, ""},
	"clip":      {1.0 / 255, []float64{0.48145466, 0.4578275, 0.40821073}, []float64{0.26862954, 0.26130258, 0.27577711}, ""},
	"caffe":     {1, []float64{103.939, 116.779, 123.68}, []float64{1}, "bgr"},
}

// normalizationNames are the other names of normalizations.
var normalizationNames = map[string]string{"0..1": "unit", "0-1": "unit", "[0,1]": "unit", "-1..1": "inception", "[-1,1]": "inception",
	"half": "inception", "tf": "inception", "torch": "imagenet", "raw": "none", "0..255": "none", "0-255": "none", "[0,255]": "none"}

// The formulas of a normalization of pixel values from 0 to 255: x/a, x/a-b and (x-a)/b.
var (
	quotient   = regexp.MustCompile(`^x/([\d.]+)(?:-([\d.]+))?$`)
	difference = regexp.MustCompile(`^\(x-([\d.]+)\)/([\d.]+)$`)
)

// formula parses such a formula.
func formula(text string) (n normalization, ok bool) {
	m := quotient.FindStringSubmatch(text)
	if divides := m != nil; !divides {
		if m = difference.FindStringSubmatch(text); m == nil {
			return n, false
		}
	}
	a, errA := strconv.ParseFloat(m[1], 64)
	b, errB := strconv.ParseFloat(cmp.Or(m[2], "0"), 64)
	if n = (normalization{scale: 1, mean: []float64{a}, std: []float64{b}}); text[0] == 'x' {
		n = normalization{scale: 1 / a, mean: []float64{b}, std: []float64{1}}
	}
	return n, errA == nil && errB == nil && (text[0] == '(' || a > 0)
}

// given is a normalization by mean and std of each channel: of values from 0 to 1, or, if one exceeds that, from 0 to 255.
func given(mean, std []float64) normalization {
	n := normalization{scale: 1.0 / 255, mean: mean, std: std}
	if slices.ContainsFunc(slices.Concat(mean, std), func(v float64) bool { return v > 1 }) {
		n.scale = 1
	}
	return n
}

// shorthands are settings that stand for keys of model.yaml, or are known by other names.
var shorthands = map[string]string{
	"width": "input.width", "height": "input.height", "resize": "input.resize", "interpolation": "input.interpolation",
	"color": "input.color", "colour": "input.color", "scale": "input.scale", "mean": "input.mean", "std": "input.std", "layout": "input.layout",
	"fill": "input.fill", "place": "input.place", "shortest_edge": "input.shortest_edge", "decode": "output.decode",
	"output": "output.name", "multi_label": "output.multi_label", "multilabel": "output.multi_label",
	"threshold": "output.score_threshold", "score_threshold": "output.score_threshold", "iou_threshold": "output.iou_threshold",
	"max_boxes": "output.max_boxes", "top_k": "output.top_k", "class_first": "output.class_first", "anchors": "output.anchors",
	"strides": "output.strides", "box_format": "output.box_format", "box_space": "output.box_space", "nms": "output.nms",
	"activation": "output.activation", "columns": "output.columns", "names": "labels", "imgsz": "size", "conf": "output.score_threshold",
	"iou": "output.iou_threshold", "max_det": "output.max_boxes",
}

// interpolationNames are short names of filters, for OpenCV and for Pillow.
var interpolationNames = map[string][2]string{
	"nearest": {repository.OpenCVNearest, repository.PillowNearest}, "linear": {repository.OpenCVLinear, repository.PillowBilinear},
	"bilinear": {repository.OpenCVLinear, repository.PillowBilinear}, "cubic": {repository.OpenCVCubic, repository.PillowBicubic},
	"bicubic": {repository.OpenCVCubic, repository.PillowBicubic}, "area": {repository.OpenCVArea, repository.PillowBox},
	"lanczos": {repository.PillowLanczos, repository.PillowLanczos},
}

// readSettings reads what the user says.
func (b *builder) readSettings(set map[string]string) error {
	b.settings = map[string]string{}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(set)) {
		text := strings.TrimSpace(set[key])
		if err := b.setting(key, text); err != nil {
			errs = append(errs, fmt.Errorf("%s=%.80s: %w", key, text, err))
		}
	}
	return errors.Join(errs...)
}

func (b *builder) setting(key, text string) error {
	if text == "" {
		return errors.New("has no value")
	}
	key = strings.ToLower(key)
	if full := shorthands[key]; full != "" {
		key = full
	}
	switch key {
	case "exporter":
		if !slices.Contains(names(), text) {
			return fmt.Errorf("is not one of %s", strings.Join(names(), ", "))
		}
		b.wanted = text
		return nil
	case "normalization", "normalisation":
		return b.setNormalization(text)
	case "size":
		return b.setSize(text)
	case "labels":
		return b.setLabels(text)
	case "task":
		if strings.HasSuffix(text, "label_classification") {
			b.settings["output.multi_label"], text = "true", string(repository.Classification)
		}
	case "input.mean", "input.std", "input.fill", "output.columns", "output.strides", "output.anchors":
		if !strings.HasPrefix(text, "[") {
			text = "[" + text + "]"
		} else if strings.HasPrefix(text, "[[") { // anchors by stride
			text = "[" + strings.NewReplacer("[", "", "]", "").Replace(text) + "]"
		}
	default:
		if !slices.Contains(order, key) {
			return fmt.Errorf("is no key of model.yaml and none of %s, exporter, labels, normalization, size",
				strings.Join(slices.Sorted(maps.Keys(shorthands)), ", "))
		}
		if strings.ContainsAny(text, "\n\r") {
			return errors.New("has more than one line")
		}
		if key == "output.name" || key == "output.boxes" || key == "output.scores" || key == "output.classes" || key == "input.name" {
			text = quoted(text)
		}
	}
	b.settings[key] = text
	return nil
}

// quoted is a string as YAML, which may have quotes already.
func quoted(s string) string {
	if strings.HasPrefix(s, `"`) {
		return s
	}
	return text(s)
}

// setNormalization takes a name, or mean and std as [[…], […]] of values from 0 to 1.
func (b *builder) setNormalization(name string) error {
	if plain, _, explained := strings.Cut(name, " ("); explained { // as candidates are printed
		name = plain
	}
	short := strings.ReplaceAll(strings.ToLower(name), " ", "")
	n, ok := normalizations[cmp.Or(normalizationNames[short], short)]
	if !ok {
		n, ok = formula(short)
	}
	var lists [][]float64
	if !ok && json.Unmarshal([]byte(name), &lists) == nil && len(lists) == 2 {
		n, ok = given(lists[0], lists[1]), true
	}
	if !ok {
		return fmt.Errorf("is not one of %s, no formula such as x/255, x/127.5-1 or (x-127)/128, and not [[mean of each channel], "+
			"[std of each channel]]", strings.Join(slices.Sorted(maps.Keys(normalizations)), ", "))
	}
	b.settings["input.scale"], b.settings["input.mean"], b.settings["input.std"] = text(n.scale), text(n.mean), text(n.std)
	if n.color != "" {
		b.settings["input.color"] = n.color
	}
	b.settings["normalization"], b.said = name, n
	return nil
}

// setSize takes 224, or 640x480 as width and height, or [480, 640] as height and width.
func (b *builder) setSize(size string) error {
	var list []int
	if json.Unmarshal([]byte(size), &list) == nil && len(list) == 2 {
		b.settings["input.height"], b.settings["input.width"] = strconv.Itoa(list[0]), strconv.Itoa(list[1])
		return nil
	}
	w, h, found := strings.Cut(strings.ToLower(size), "x")
	if !found {
		h = w
	}
	for _, side := range []string{w, h} {
		if n, err := strconv.Atoi(side); err != nil || n < 1 {
			return errors.New("is not a size such as 224 or 640x480 (width and height)")
		}
	}
	b.settings["input.width"], b.settings["input.height"] = w, h
	return nil
}

// setLabels takes a JSON list, labels separated by commas, or the name of a file next to the model.
func (b *builder) setLabels(labels string) error {
	var list []string
	switch {
	case strings.HasPrefix(labels, "["):
		if err := json.Unmarshal([]byte(labels), &list); err != nil {
			return errors.New("is not a JSON list of strings")
		}
	case !strings.Contains(labels, ",") && b.hasFile(labels):
		return b.readLabels(labels)
	default:
		for label := range strings.SplitSeq(labels, ",") {
			list = append(list, strings.TrimSpace(label))
		}
	}
	return b.useLabels(list, "set")
}

// ofResize are keys that depend on input.resize.
var ofResize = []string{"input.resize_width", "input.resize_height", "input.crop_offset", "input.shortest_edge", "input.longest_edge",
	"input.multiple", "input.stride", "input.rounding", "input.place", "input.inverse", "input.fill"}

// dependent are keys of the output that apply only with some values of another key.
var dependent = []struct {
	key, on string
	values  []string
}{
	{"output.iou_threshold", "output.nms", []string{repository.NMSGreedy, repository.NMSFast}},
	{"output.class_agnostic", "output.nms", []string{repository.NMSGreedy, repository.NMSFast}},
	{"output.strides", "output.decode", []string{repository.DecodeYOLOX, repository.DecodeYOLOv5Raw}},
	{"output.anchors", "output.decode", []string{repository.DecodeYOLOv5Raw}},
	{"output.columns", "output.decode", []string{repository.DecodeRows}},
	{"output.iou_threshold", "output.decode", []string{repository.DecodeYOLO, repository.DecodeYOLOv5, repository.DecodeYOLOv5Raw, repository.DecodeYOLOX, repository.DecodeBoxes}},
	{"output.box_space", "output.decode", []string{repository.DecodeYOLO, repository.DecodeYOLOv5, repository.DecodeRows, repository.DecodeDETR, repository.DecodeBoxes}},
}

// dropDependent drops inferred values that depend on what the user says otherwise. A shorter side, if the user says one, is what
// images are resized to.
func (b *builder) dropDependent() {
	resize := b.values["input.resize"].text
	if b.settings["input.resize"] == "" && b.settings["input.shortest_edge"] != "" && resize != string(repository.Fit) {
		b.settings["input.resize"] = string(repository.ShortestEdge)
	}
	if said := b.settings["input.resize"]; said != "" && said != resize {
		for _, key := range ofResize {
			delete(b.values, key)
		}
	}
	for _, d := range dependent {
		if said := b.settings[d.on]; said != "" && !slices.Contains(d.values, said) {
			delete(b.values, d.key)
		}
	}
}

// applySettings has what the user says replace what was inferred.
func (b *builder) applySettings() {
	b.dropDependent()
	for key, text := range b.settings {
		if key == "input.interpolation" {
			text = b.interpolation(text)
		}
		if key != "normalization" {
			b.values[key] = value{text, "set", false}
		}
	}
	multi := b.values["output.multi_label"].text == "true"
	if d := b.values["output.decode"]; multi && d.text == repository.DecodeSoftmax {
		b.values["output.decode"] = value{repository.DecodeSigmoid, "independent classes of logits", d.assumed}
	}
	if b.values["task"].text == string(repository.Classification) && b.settings["output.score_threshold"] != "" {
		delete(b.values, "output.score_threshold") // every class is in the response, with its score
	}
}

// interpolation returns the full name of a filter: of the library that the exporter uses.
func (b *builder) interpolation(name string) string {
	full, short := interpolationNames[strings.ToLower(name)]
	if !short {
		return name
	}
	if strings.HasPrefix(b.values["input.interpolation"].text, "opencv_") {
		return full[0]
	}
	return full[1]
}
