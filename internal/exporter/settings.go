package exporter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
	"fovea/internal/safeyaml"
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
	divides := m != nil
	if !divides {
		m = difference.FindStringSubmatch(text)
	}
	if m == nil {
		return n, false
	}
	a, errA := strconv.ParseFloat(m[1], 64)
	b, errB := strconv.ParseFloat(cmp.Or(m[2], "0"), 64)
	switch {
	case errA != nil || errB != nil || divides && a == 0:
		return n, false
	case divides:
		return normalization{scale: 1 / a, mean: []float64{b}, std: []float64{1}}, true
	}
	return normalization{scale: 1, mean: []float64{a}, std: []float64{b}}, true
}

// given is a normalization by mean and std of each channel: of values from 0 to 1, or, if one exceeds that, from 0 to 255.
func given(mean, std []float64) normalization {
	n := normalization{scale: 1.0 / 255, mean: mean, std: std}
	if slices.ContainsFunc(slices.Concat(mean, std), func(v float64) bool { return v > 1 }) {
		n.scale = 1
	}
	return n
}

// shorthands are other names of keys, besides their last parts.
var shorthands = map[string]string{"box_thresh": "output.score_threshold", "colour": "input.color", "conf": "output.score_threshold", "decode": "output.decode", "imgsz": "size",
	"iou": "output.iou_threshold", "max_det": "output.max_boxes", "multilabel": "output.multi_label", "names": "labels",
	"normalisation": "normalization", "dictionary": "labels", "output": "output.name", "thresh": "output.map_threshold", "threshold": "output.score_threshold", "use_dilation": "output.dilate"}

// fullKey returns the key of model.yaml that a shorthand stands for: another name, or the last part of only one key.
func fullKey(name string) string {
	if full := shorthands[name]; full != "" {
		return full
	}
	var full []string
	for _, key := range order {
		if key == name {
			return key
		}
		if strings.HasSuffix(key, "."+name) {
			full = append(full, key)
		}
	}
	if len(full) == 1 {
		return full[0]
	}
	return name
}

// interpolationNames are short names of filters, for OpenCV and for Pillow.
var interpolationNames = map[string][2]string{
	"nearest": {repository.OpenCVNearest, repository.PillowNearest}, "linear": {repository.OpenCVLinear, repository.PillowBilinear},
	"bilinear": {repository.OpenCVLinear, repository.PillowBilinear}, "cubic": {repository.OpenCVCubic, repository.PillowBicubic},
	"bicubic": {repository.OpenCVCubic, repository.PillowBicubic}, "area": {repository.OpenCVArea, repository.PillowBox},
	"lanczos": {repository.OpenCVLanczos, repository.PillowLanczos},
}

// readSettings reads what the user says.
func (b *builder) readSettings(set map[string]string) error {
	b.settings = map[string]string{}
	var errs []error
	for _, key := range slices.Sorted(maps.Keys(set)) {
		text := strings.TrimSpace(set[key])
		if err := b.setting(key, text); err != nil {
			errs = append(errs, fmt.Errorf("--set %s=%.80s: %w", key, text, err))
		}
	}
	if b.limitSide != "" {
		errs = append(errs, b.put(b.limitKey(), b.limitSide))
	}
	return errors.Join(errs...)
}

// CheckSettings reports settings that no model allows: unknown keys, and values that are never valid. Whether they fit a model is
// Infer's concern.
func CheckSettings(set map[string]string) error {
	b := &builder{values: map[string]value{}}
	if err := b.readSettings(set); err != nil {
		return err
	}
	b.takeSettings()
	return b.invalidSettings()
}

// invalidSettings lists settings that are invalid whatever the task is, if that is not set.
func (b *builder) invalidSettings() error {
	tasks := slices.DeleteFunc(taskNames(), func(task string) bool { return task == string(repository.Anomaly) }) // whose scores have any range
	if task := b.settings["task"]; task != "" {
		tasks = []string{task}
	}
	failures, messages := map[string]int{}, map[string]string{}
	for _, task := range tasks {
		b.values["task"] = value{text: task}
		failed := map[string]bool{}
		for _, e := range b.invalid() {
			key, _, element := strings.Cut(e.Key, "[")
			// The file may have another number of channels.
			openCount := slices.Contains(perChannel, key) && !element && b.settings["input.color"] == ""
			if b.settings[key] == "" || openCount {
				continue
			}
			failed[key] = true
			if _, told := messages[key]; !told && !isNotApplicable(e) {
				messages[key] = fmt.Sprintf("--set %s: %s", e.Key, e.Message)
			}
		}
		for key := range failed {
			failures[key]++
		}
	}
	var errs []error
	for _, key := range order {
		if failures[key] == len(tasks) && messages[key] != "" {
			errs = append(errs, errors.New(messages[key]))
		}
	}
	return errors.Join(errs...)
}

func (b *builder) setting(key, text string) error {
	if text == "" {
		return errors.New("has no value")
	}
	key, text = fullKey(strings.ToLower(key)), number(text)
	if key != "labels" && strings.ContainsAny(text, "\n\r") {
		return errors.New("has more than one line")
	}
	switch key {
	case "exporter":
		if !slices.Contains(names(), text) {
			return fmt.Errorf("is not one of %s", strings.Join(names(), ", "))
		}
		b.wanted = text
		return nil
	case "normalization":
		return b.setNormalization(text)
	case "size":
		return b.setSize(text)
	case "labels":
		return b.setLabels(text)
	case "limit_side_len", "limit_type":
		return b.setLimit(key, text)
	case "task":
		if strings.HasSuffix(text, "label_classification") {
			b.settings["output.multi_label"], text = "true", string(repository.Classification)
		}
	case "input.mean", "input.std", "input.fill", "output.columns", "output.strides", "output.anchors", "output.keypoints", "output.range":
		if !strings.HasPrefix(text, "[") {
			text = "[" + text + "]"
		} else if strings.HasPrefix(text, "[[") { // anchors by stride
			text = "[" + strings.NewReplacer("[", "", "]", "").Replace(text) + "]"
		}
	case "output.decode":
		if text == repository.DecodeExact || text == repository.DecodeFast {
			return fmt.Errorf("is a value of input.decode, how images are decoded: --set input.decode=%s", text)
		}
		decoders := allDecoders()
		if !slices.Contains(decoders, text) {
			return fmt.Errorf("is not one of %s", strings.Join(decoders, ", "))
		}
	case "output.name", "output.boxes", "output.scores", "output.classes", "output.masks", "output.points", "output.point_scores", "input.name", "description", "self_test.image", "self_test.label":
		text = quoted(text)
	default:
		if !slices.Contains(order, key) {
			return errors.New("is no key of model.yaml, such as input.scale or scale for short, and none of exporter, labels, normalization, output, size, threshold")
		}
	}
	var document map[string]any
	if safeyaml.Unmarshal([]byte("key: "+text), &document) != nil || len(document) != 1 {
		return errors.New("is not a value of YAML")
	}
	return b.put(key, text)
}

// number is a number as YAML, which has no .45 and no +1; other text stays as it is.
func number(s string) string {
	if strings.Trim(s, "+-.0123456789eE") != "" {
		return s
	}
	n, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return s
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
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
	if lists == nil {
		b.namedOrder = cmp.Or(n.color, repository.ColorRGB)
	}
	if n.color != "" && b.settings["input.color"] == "" {
		b.settings["input.color"] = n.color
	}
	b.said = n
	return errors.Join(b.put("normalization", name), b.put("input.scale", text(n.scale)), b.put("input.mean", text(n.mean)), b.put("input.std", text(n.std)))
}

// put sets a key, once.
func (b *builder) put(key, text string) error {
	if before := b.settings[key]; before != "" && before != text {
		return fmt.Errorf("%s is set to %s by another --set", key, before)
	}
	b.settings[key] = text
	return nil
}

// setSize takes 224, or 640x480 as width and height, or [480, 640] as height and width.
func (b *builder) setSize(size string) error {
	var list []int
	if json.Unmarshal([]byte(size), &list) == nil && len(list) == 2 {
		return errors.Join(b.put("input.height", strconv.Itoa(list[0])), b.put("input.width", strconv.Itoa(list[1])))
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
	return errors.Join(b.put("input.width", w), b.put("input.height", h))
}

// LabelsFile returns the file that --set labels names, empty if it lists labels.
func LabelsFile(labels string) string {
	labels = strings.TrimSpace(labels)
	isFile := strings.ContainsRune(labels, '/') || slices.Contains([]string{".txt", ".names", ".pbtxt", ".json"}, strings.ToLower(path.Ext(labels)))
	if strings.HasPrefix(labels, "[") || strings.Contains(labels, ",") || !isFile {
		return ""
	}
	return labels
}

// setLabels takes a JSON list, labels separated by commas, or the name of a file next to the model.
func (b *builder) setLabels(labels string) error {
	var list []string
	file := LabelsFile(labels)
	switch {
	case strings.HasPrefix(labels, "["):
		if err := json.Unmarshal([]byte(labels), &list); err != nil {
			return errors.New("is not a JSON list of strings")
		}
	case b.files == nil && file != "": // unknown
		return nil
	case b.files != nil && !strings.Contains(labels, ",") && b.hasFile(labels):
		return b.readLabels(labels)
	case file != "":
		return errors.New("there is no such file next to the model")
	default:
		for label := range strings.SplitSeq(labels, ",") {
			list = append(list, strings.TrimSpace(label))
		}
	}
	return b.useLabels(list, repository.OriginSet)
}

// applySettings has what the user says replace what was inferred.
func (b *builder) applySettings() {
	b.dropDependent()
	b.takeSettings()
	multi := b.values["output.multi_label"].text == "true"
	if d := b.values["output.decode"]; multi && d.text == repository.DecodeSoftmax {
		b.values["output.decode"] = value{repository.DecodeSigmoid, "independent classes of logits", d.assumed}
	}
	if b.values["task"].text == string(repository.Classification) && b.settings["output.score_threshold"] != "" {
		delete(b.values, "output.score_threshold") // every class is in the response, with its score
	}
	if len(b.settings) > 0 {
		b.fitSettings()
	}
}

// takeSettings sets the keys that the user says.
func (b *builder) takeSettings() {
	for key, text := range b.settings {
		if key == "input.interpolation" {
			text = b.interpolation(text)
		}
		if key != "normalization" {
			b.values[key] = value{text, repository.OriginSet, false}
		}
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
