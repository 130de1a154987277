// Package safeyaml reads and writes YAML with goccy/go-yaml, whose decoder panics on some files that are written wrongly (a tag
// that does not fit its value, for one): here that is an error like any other.
package safeyaml

import (
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Unmarshal decodes the first document of data.
func Unmarshal(data []byte, into any) error {
	return guard(func() error { return yaml.Unmarshal(data, into) })
}

// Value decodes a node.
func Value(node ast.Node, into any) error {
	return guard(func() error { return yaml.NodeToValue(node, into) })
}

// Write writes a value.
func Write(w io.Writer, value any) error {
	text, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Errorf("write as YAML: %w", err)
	}
	_, err = w.Write(text)
	return err
}

func guard(decode func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the YAML is written in a way that cannot be read: %v", p)
		}
	}()
	return decode()
}
