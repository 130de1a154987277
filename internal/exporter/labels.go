package exporter

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// labelFiles are the usual names of files with one label per line.
var labelFiles = []string{"labels.txt", "classes.txt", "label.txt", "names.txt", "coco.names", "obj.names", "imagenet_classes.txt",
	"synset.txt", "label_map.pbtxt", "labelmap.txt"}

// backgrounds are names of a class that means nothing was found.
var backgrounds = []string{"__background__", "background", "_background_", "bg"}

// unusedLabel names a class number that a model does not use, as in COCO's list of 91.
const unusedLabel = "N/A"

func (b *builder) hasFile(name string) bool {
	info, err := fs.Stat(b.files, name)
	return err == nil && info.Mode().IsRegular()
}

// useLabels takes labels, once.
func (b *builder) useLabels(labels []string, from string) error {
	if len(b.labels) > 0 || len(labels) == 0 {
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
	if strings.HasSuffix(name, ".pbtxt") {
		labels, err := labelMap(string(data))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return b.useLabels(labels, name)
	}
	labels, err := repository.ParseLabels(data)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return b.useLabels(labels, name)
}

// findLabels takes the labels of the first file that has a usual name.
func (b *builder) findLabels() {
	names := labelFiles
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

// fitLabels compares the number of labels with the classes of an output, -1 where open. One class more than labels is a
// background in front.
func (b *builder) fitLabels(classes int64, output string) {
	b.findLabels()
	n := int64(len(b.labels))
	switch {
	case n == 0 || classes < 0 || classes == n:
	case classes == n+1:
		b.say("output.class_first", 1, fmt.Sprintf("%s has %d classes for %d labels: the first is taken for the background", output, classes, n))
	case classes == n-1 && b.dropBackground():
	default:
		b.fail("%s, but the output %q has %d classes; say which are right with --set labels=…", b.labelCount(), output, classes)
	}
}
