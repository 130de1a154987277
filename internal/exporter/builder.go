package exporter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// value is a key's value as it stands in model.yaml.
type value struct {
	text    string
	from    string
	assumed bool
}

// builder collects a definition.
type builder struct {
	graph *repository.Graph
	files fs.FS

	settings   map[string]string // what the user says, by key: it takes precedence
	wanted     string            // the exporter that the user names
	said       normalization     // that the user names
	namedOrder string            // of the channels of a named normalization, rgb or bgr; empty: none is named

	objects map[string]map[string]any // JSON files that were read, by name

	image         repository.TensorInfo // the image input
	height, width int64                 // of the input; -1: open
	channels      int64                 // of the input; -1: open
	channelsLast  bool

	exporter  string
	values    map[string]value
	labels    []string
	labelFrom string
	// labelsAssumed tells that what the files say was completed.
	labelsAssumed bool
	labelFile     string // that config.pbtxt names
	labelsSought  bool   // in files of usual names

	limitSide, limitType string // PaddleOCR's names of limits of an image's sides, as the user says them

	tritonWidth, tritonHeight int64 // of the input in config.pbtxt; 0 without

	questions []repository.Question
	errs      []error
}

// order are the keys in the order of model.yaml.
var order = []string{"description", "task", "labels", "input.name", "input.width", "input.height", "input.resize", "input.resize_width",
	"input.resize_height", "input.crop_offset", "input.shortest_edge", "input.longest_edge", "input.multiple", "input.to_multiple",
	"input.max_aspect", "input.min_width", "input.stride", "input.rounding", "input.place",
	"input.inverse", "input.fill", "input.interpolation", "input.decode", "input.color",
	"input.scale", "input.mean", "input.std", "input.normalize", "input.layout", "input.dtype", "input.extra", "output.decode", "output.name", "output.names",
	"output.top_k", "output.multi_label", "output.strides", "output.anchors", "output.columns", "output.boxes", "output.scores",
	"output.classes", "output.masks", "output.mask_space", "output.mask_activation", "output.mask_threshold", "output.keypoints",
	"output.keypoint_values", "output.points", "output.point_scores", "output.skeleton", "output.map_layout", "output.normalize", "output.range", "output.align_corners", "output.anomalous",
	"output.map_threshold", "output.unclip_ratio", "output.dilate", "output.score_mode", "output.activation", "output.box_format", "output.box_space", "output.class_first", "output.score_threshold",
	"output.class_thresholds", "output.iou_threshold", "output.nms", "output.class_agnostic", "output.max_candidates", "output.max_boxes",
	"batching.max_size", "batching.max_delay", "batching.queue", "instances", "warmup", "self_test.image", "self_test.label",
	"self_test.min_score", "versions"}

// say sets a key to what a file says.
func (b *builder) say(key string, v any, from string) { b.infer(key, v, from, false) }

// assume sets a key to what such exports usually have.
func (b *builder) assume(key string, v any, why string) { b.infer(key, v, why, true) }

// infer sets a key that has no value yet.
func (b *builder) infer(key string, v any, from string, assumed bool) {
	if _, given := b.values[key]; !given {
		b.values[key] = value{text(v), from, assumed}
	}
}

// ask records what has to be said, once, unless it is by the end.
func (b *builder) ask(key, reason string, candidates ...string) {
	if slices.ContainsFunc(b.questions, func(q repository.Question) bool { return q.Key == key }) {
		return
	}
	b.questions = append(b.questions, repository.Question{Key: key, Reason: reason, Candidates: candidates})
}

// fail records an error.
func (b *builder) fail(format string, args ...any) {
	b.errs = append(b.errs, fmt.Errorf(format, args...))
}

// unsupported records that a model is known and its task is not supported.
func (b *builder) unsupported(task string) {
	b.errs = append(b.errs, otherTaskError(task))
}

// notInferred records that a model is known, and that its task is one that can only be defined by hand for its exporter.
func (b *builder) notInferred(task string) {
	b.fail("the model's task is %s, which is not inferred from such files; write a model.yaml", task)
}

// text formats a value as YAML.
func text(v any) string {
	switch v := v.(type) {
	case string:
		if plain(v) {
			return v
		}
		data, _ := json.Marshal(v)
		return string(data)
	case rawYAML:
		return string(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case []float64:
		return "[" + join(v) + "]"
	case []int:
		return "[" + join(v) + "]"
	case []string:
		return "[" + join(v) + "]"
	case []repository.Extra:
		list := make([]string, len(v))
		for i, e := range v {
			list[i] = fmt.Sprintf("{name: %s, value: %s}", text(e.Name), text(e.Value))
		}
		return "[" + strings.Join(list, ", ") + "]"
	}
	return fmt.Sprint(v)
}

func join[T any](list []T) string {
	texts := make([]string, len(list))
	for i, v := range list {
		texts[i] = text(v)
	}
	return strings.Join(texts, ", ")
}

// plain reports whether a string needs no quotes in YAML.
func plain(s string) bool {
	if s == "" || strings.ToLower(s[:1]) == strings.ToUpper(s[:1]) {
		return false
	}
	for _, r := range s {
		if !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '/' || r == '-') {
			return false
		}
	}
	return !slices.Contains([]string{"true", "false", "null", "yes", "no", "on", "off", "nan", "inf", "y", "n"}, strings.ToLower(s))
}

// finish makes the definition.
func (b *builder) finish() (*repository.Inferred, error) {
	b.applySettings()
	if err := errors.Join(distinct(b.errs)...); err != nil {
		return nil, err
	}
	b.questions = slices.DeleteFunc(b.questions, func(q repository.Question) bool { _, known := b.values[q.Key]; return known })
	if len(b.questions) > 0 {
		return nil, &repository.UnknownError{Questions: b.questions}
	}
	inferred := &repository.Inferred{Exporter: b.exporter, Origins: b.origins()}
	d, err := repository.ParseDefinition(document(inferred.Origins, false), "")
	if err != nil {
		return nil, err
	}
	d.Labels = b.labels
	inferred.Definition = d
	if err := d.Validate(); err != nil {
		return nil, err
	}
	return inferred, nil
}

// hasNoLabels reports whether the task's answers name no classes.
func (b *builder) hasNoLabels() bool {
	switch repository.Task(b.values["task"].text) {
	case repository.Depth, repository.Anomaly, repository.ImageOutput, repository.Embedding, repository.TextDetection:
		return true
	}
	return false
}

// origins lists the values in the order of model.yaml.
func (b *builder) origins() (list []repository.Origin) {
	if len(b.labels) > 0 {
		b.values["labels"] = value{labelsFile, b.labelFrom, b.labelsAssumed}
	} else if b.values["labels"].text == "" && !b.hasNoLabels() {
		b.values["labels"] = value{noLabels, "no labels are in the file or next to it, so that classes have numbers only; write " + labelsFile + ", or say labels=…", true}
	}
	for _, key := range order {
		if v, ok := b.values[key]; ok {
			list = append(list, repository.Origin{Key: key, Value: v.text, From: v.from, Assumed: v.assumed})
		}
	}
	return list
}

// labelsFile is the file that Write's caller writes the labels to. noLabels is the value of labels that are not known.
const (
	labelsFile = "labels.txt"
	noLabels   = "none"
)

// Write returns the model.yaml of an inferred definition, with comments that say where each value comes from. Labels belong in
// labels.txt next to it, one per line.
func Write(inferred *repository.Inferred) []byte {
	head := fmt.Sprintf("# Inferred from %s.\n", cmp.Or(inferred.Exporter, "the model's files"))
	if len(inferred.Assumptions()) > 0 {
		head += "# Check the values marked \"assumed\", which are in none of the model's files.\n"
	}
	return append([]byte(head), document(inferred.Origins, true)...)
}

// document writes the values as YAML, sections one level deep.
func document(origins []repository.Origin, comments bool) []byte {
	var out strings.Builder
	section := ""
	for _, o := range origins {
		key, indent := o.Key, ""
		if outer, inner, nested := strings.Cut(o.Key, "."); nested {
			if key, indent = inner, "  "; outer != section {
				fmt.Fprintf(&out, "\n%s:\n", outer)
			}
			section = outer
		}
		line := fmt.Sprintf("%s%s: %s", indent, key, o.Value)
		if o.Key == "labels" && o.Value == noLabels {
			if line = "# " + line; !comments {
				continue
			}
		}
		if comments && o.From != "" {
			from := strings.ReplaceAll(o.From, "\n", " ")
			if o.Assumed {
				from = "assumed: " + from
			}
			line = fmt.Sprintf("%-40s # %s", line, from)
		}
		out.WriteString(line + "\n")
	}
	return []byte(out.String())
}
