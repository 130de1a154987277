package exporter

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
	"fovea/internal/safeyaml"
)

// backgrounds are names of a class that means nothing was found.
var backgrounds = []string{"__background__", "background", "_background_", "bg"}

// unusedLabel names a class number that a model does not use, as in COCO's list of 91.
const unusedLabel = "N/A"

func (b *builder) hasFile(name string) bool {
	info, err := fs.Stat(b.files, name)
	return err == nil && info.Mode().IsRegular()
}

// takeLabels takes labels, once, and records an error.
func (b *builder) takeLabels(labels []string, from string) {
	if err := b.useLabels(labels, from); err != nil {
		b.errs = append(b.errs, err)
	}
}

// useLabels takes labels, once.
func (b *builder) useLabels(labels []string, from string) error {
	if len(b.labels) > 0 || len(labels) == 0 {
		return nil
	}
	if b.isSequence() { // characters, of which one may be a space
		b.labels, b.labelFrom = slices.Clone(labels), from
		return nil
	}
	b.labels = slices.Clone(labels)
	for i, label := range b.labels {
		if b.labels[i] = strings.TrimSpace(label); b.labels[i] == "" {
			b.labels[i] = unusedLabel
		}
	}
	b.labelFrom = from
	if _, err := repository.ParseLabels([]byte(strings.Join(b.labels, "\n"))); err != nil {
		b.labels = nil
		return fmt.Errorf("labels from %s: %w", from, err)
	}
	return nil
}

// readLabels takes the labels of a file.
func (b *builder) readLabels(name string) error {
	data, err := fs.ReadFile(b.files, name)
	if err != nil {
		return err
	}
	parse := func() ([]string, error) { return parseLabels(path.Ext(name), data) }
	if b.isSequence() && path.Ext(name) == ".txt" {
		parse = func() ([]string, error) { return repository.ParseDictionary(data) }
	}
	labels, err := parse()
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return b.useLabels(labels, name)
}

// parseLabels reads labels of a file with an extension: one per line, unless it is one of the formats of repository.LabelFiles.
func parseLabels(ext string, data []byte) ([]string, error) {
	var v any
	var err error
	switch ext {
	case ".pbtxt":
		return labelMap(string(data))
	case ".json":
		err = json.Unmarshal(data, &v)
	case ".yaml", ".yml":
		var file struct {
			Names any `yaml:"names"`
		}
		if err = safeyaml.Unmarshal(data, &file); err == nil && file.Names == nil {
			return nil, nil // not a list of labels, but of something else
		}
		v = file.Names
	default:
		return repository.ParseLabels(data)
	}
	if err != nil {
		return nil, err
	}
	labels, ok := labelList(v)
	if !ok {
		return nil, errors.New("is not a list of labels or a dict of them by number")
	}
	return labels, nil
}

// findLabels takes the labels of the first file that has a usual name. It searches once.
func (b *builder) findLabels() {
	if b.labelsSought || len(b.labels) > 0 {
		return
	}
	b.labelsSought = true
	names := repository.LabelFiles()
	if b.labelFile != "" {
		names = append([]string{b.labelFile}, names...)
	}
	for _, name := range names {
		if len(b.labels) == 0 && b.hasFile(name) {
			if err := b.readLabels(name); err != nil {
				b.errs = append(b.errs, err)
			}
		}
	}
}

// dropBackground removes a background label in front, and reports whether there was one.
func (b *builder) dropBackground() bool {
	if len(b.labels) > 1 && slices.Contains(backgrounds, strings.ToLower(b.labels[0])) {
		b.labels = b.labels[1:]
		b.labelFrom += ", without the background"
		return true
	}
	return false
}

// fitLabels compares the number of labels with the classes of an output, -1 where open.
func (b *builder) fitLabels(classes int64, output string) {
	if !b.labelsFit(classes) {
		n := len(b.labels)
		b.fail("the output %q has %d classes, but there %s (%s); say --set labels=… with all %[2]d, in the order of the classes",
			output, classes, count(n, "label"), b.labelFrom)
	}
}

// fitLabelsOrBackground is fitLabels for outputs that may have a background, 0, before the classes with labels. usual says why
// outputs of the exporter do; without it, it is asked for.
func (b *builder) fitLabelsOrBackground(classes int64, output, usual string) {
	b.findLabels()
	n := int64(len(b.labels))
	switch fits := b.labelsFit(classes); {
	case fits:
	case classes != n+1:
		b.fitLabels(classes, output)
	case usual != "":
		b.assume("output.class_first", 1, fmt.Sprintf("%s, and %q has %d classes for %d labels", usual, output, classes, n))
	default:
		b.ask("output.class_first", fmt.Sprintf("the output %q has %d classes, but there %s (%s): if class 0 is a background, this is 1, "+
			"else say --set labels=… with all %[2]d, in the order of the classes", output, classes, count(int(n), "label"), b.labelFrom), "1")
	}
}

// numberFromOne puts a label for class 0, which the exporter does not use, before labels that are one less than the classes.
func (b *builder) numberFromOne(classes int64, why string) {
	if b.findLabels(); len(b.labels) > 0 && classes == int64(len(b.labels))+1 && b.settings["output.class_first"] == "" {
		b.labels = append([]string{unusedLabel}, b.labels...)
		b.labelFrom += ", after one for class 0: " + why
		b.labelsAssumed = true
	}
}

// count is a number with a noun.
func count(n int, noun string) string {
	if n == 1 {
		return "is 1 " + noun
	}
	return fmt.Sprintf("are %d %ss", n, noun)
}

// labelsFit reports whether there are as many labels as classes, -1 where open, after those before output.class_first. It
// removes a background label in front of what the output has no class for.
func (b *builder) labelsFit(classes int64) bool {
	b.findLabels()
	n := int64(len(b.labels))
	if n == 0 || classes < 0 {
		return true
	}
	first, _ := strconv.ParseInt(cmp.Or(b.settings["output.class_first"], b.values["output.class_first"].text), 10, 64)
	return classes == first+n || classes == first+n-1 && b.dropBackground()
}
