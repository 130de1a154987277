package exporter

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"fovea/internal/repository"
)

// characterKey is the key of ONNX's metadata under which RapidOCR has the characters of a model, or its labels, one per line.
const characterKey = "character"

// isSequence reports whether the only output has the scores of each character along a line, [N,steps,classes], by its last operator or the
// metadata.
func (b *builder) isSequence() bool {
	if b.graph == nil || len(b.graph.Outputs) != 1 {
		return false
	}
	out := b.graph.Outputs[0]
	if len(out.Shape) != 3 || out.Shape[2] < 2 || !slices.Contains(repository.ScoreTypes(), out.DType) {
		return false
	}
	said := b.settings["task"] == string(repository.TextRecognition)
	return said || b.graph.OutputOps[out.Name] == "Softmax" || b.graph.Metadata[characterKey] != ""
}

// textByShape recognizes models of text that no exporter describes: those whose scores along a line end with Softmax.
func textByShape(b *builder) bool {
	task := repository.Task(b.settings["task"])
	switch {
	case b.isSequence() && (task == "" || task == repository.TextRecognition):
		b.paddleRecognizer(b.graph.Outputs[0], &paddleInference{})
		b.exporter = "a model that reads text"
	case task == repository.TextDetection && len(b.graph.Outputs) == 1 && len(b.graph.Outputs[0].Shape) >= 3:
		b.paddleDetector(b.graph.Outputs[0], &paddleInference{})
		b.exporter = "a detector of text"
	default:
		return false
	}
	return true
}

// characters sets the characters of an output of scores: what the user says, those of the metadata, of inference.yml, or of a dictionary
// next to the model. Its first class is a blank, and its last may be a space.
func (b *builder) characters(out repository.TensorInfo, cfg *paddleInference) {
	classes := out.Shape[2]
	if text := b.graph.Metadata[characterKey]; text != "" {
		b.takeCharacters(text, characterKey+" in model.onnx")
	}
	if list, ok := labelList(cfg.Post["character_dict"]); ok {
		b.takeCharacters(strings.Join(list, "\n"), paddleInferenceFile+" character_dict")
	}
	b.findDictionary(classes)
	if len(b.labels) == 0 {
		b.ask("labels", fmt.Sprintf("the output %s has the scores of %d characters after a blank, and none of the files lists them; name a file with one per line", describe(out), classes-1))
		return
	}
	if len(b.labels) > 1 && slices.Contains([]string{"blank", "<blank>", "[blank]"}, strings.ToLower(b.labels[0])) {
		b.labels = b.labels[1:]
	}
	switch n := int64(len(b.labels)); classes {
	case n + 1:
	case n + 2:
		b.labels = append(b.labels, " ")
		b.labelFrom += ", and a space"
	default:
		b.fail("the output %q has %d classes, but there are %d characters (%s); want %d, or %d without the space at their end", out.Name, classes, n, b.labelFrom, classes-1, classes-2)
	}
}

// takeCharacters takes characters, one per line, once.
func (b *builder) takeCharacters(text, from string) {
	if len(b.labels) > 0 {
		return
	}
	list, err := repository.ParseDictionary([]byte(text))
	if err != nil {
		b.fail("%s: %w", from, err)
		return
	}
	b.labels, b.labelFrom = list, from
}

// findDictionary takes the only dictionary next to the model that has as many characters as there are classes.
func (b *builder) findDictionary(classes int64) {
	entries, err := fs.ReadDir(b.files, ".")
	if err != nil || len(b.labels) > 0 {
		return
	}
	fits := map[string]string{} // names by their texts
	var names []string
	for _, entry := range entries {
		name := entry.Name()
		if !repository.IsDictionary(name) && !slices.Contains(repository.LabelFiles(), name) || path.Ext(name) != ".txt" || !b.hasFile(name) {
			continue
		}
		data, err := fs.ReadFile(b.files, name)
		if err != nil {
			continue
		}
		list, err := repository.ParseDictionary(data)
		if n := int64(len(list)); err != nil || n != classes-1 && n != classes-2 && n != classes {
			continue
		}
		if text := strings.Join(list, "\n"); fits[text] == "" {
			fits[text] = name
			names = append(names, name)
		}
	}
	switch len(names) {
	case 0:
	case 1:
		for text, name := range fits {
			b.takeCharacters(text, name)
		}
	default:
		b.ask("labels", "several files may list the characters", names...)
	}
}
