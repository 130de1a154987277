// Package safeyaml decodes YAML that other programs write, with goccy/go-yaml. The library's decoder panics on some malformed
// files (a tag that does not fit its value, for one); here that is an error. Configuration is read by package config.
package safeyaml

import (
	"errors"
	"fmt"
	"io"

	"bytes"

	"github.com/goccy/go-yaml"
)

// Unmarshal decodes data, which may hold no more than one document.
func Unmarshal(data []byte, into any) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("malformed YAML: %v", p)
		}
	}()
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(into); err != nil {
		return unlessEnd(err)
	}
	var more any
	if err := decoder.Decode(&more); err != nil {
		return unlessEnd(err)
	}
	return errors.New("more than one YAML document")
}

func unlessEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}
