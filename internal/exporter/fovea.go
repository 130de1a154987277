package exporter

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"

	"fovea/internal/safeyaml"
)

// The keys of metadata with a definition: a model.yaml without labels, and one label per line.
const (
	definitionKey = "fovea.definition"
	labelsKey     = "fovea.labels"
)

// fovea takes the definition that is in the file's metadata.
func fovea(b *builder) bool {
	definition := b.graph.Metadata[definitionKey]
	if definition == "" {
		return false
	}
	const from = "metadata " + definitionKey
	var sections map[string]any
	if err := safeyaml.Unmarshal([]byte(definition), &sections); err != nil {
		b.fail("%s: %w", from, err)
		return true
	}
	b.sections("", sections, from)
	delete(b.values, "labels")
	if labels := b.graph.Metadata[labelsKey]; labels != "" {
		b.takeLabels(strings.Split(strings.TrimRight(labels, "\r\n"), "\n"), "metadata "+labelsKey)
	}
	return true
}

// sections takes the keys of a YAML document.
func (b *builder) sections(outer string, values map[string]any, from string) {
	for key, v := range values {
		name := key
		if outer != "" {
			name = outer + "." + key
		}
		if inner, ok := v.(map[string]any); ok {
			b.sections(name, inner, from)
			continue
		}
		data, err := yaml.MarshalWithOptions(v, yaml.Flow(true))
		if err != nil {
			b.errs = append(b.errs, fmt.Errorf("%s: %s: %w", from, name, err))
			continue
		}
		b.say(name, rawYAML(strings.TrimSpace(string(data))), from)
	}
}

// rawYAML is text that is YAML already.
type rawYAML string
