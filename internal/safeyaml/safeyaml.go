// Package safeyaml reads and writes YAML with goccy/go-yaml, whose decoder panics on some files that are written wrongly (a tag
// that does not fit its value, for one): here that is an error like any other.
package safeyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
)

// Unmarshal decodes data, which may hold no more than one document.
func Unmarshal(data []byte, into any) error {
	return guard(func() error {
		decoder := yaml.NewDecoder(bytes.NewReader(data))
		if err := decoder.Decode(into); err != nil {
			return unlessEnd(err)
		}
		var more any
		if err := decoder.Decode(&more); err != nil {
			return unlessEnd(err)
		}
		return errors.New("there is more than one YAML document; allowed: 1")
	})
}

func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
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
