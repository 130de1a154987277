// Command kubeschemas writes JSON schemas for kubeconform from Kubernetes' OpenAPI documents and from CustomResourceDefinitions:
//
//	kubeschemas OUT FILE_OR_FOLDER…
//
// Each kind is OUT/GROUP/KIND_VERSION.json, for the core OUT/v1/KIND_v1.json; keys that a kind does not have are refused, as by
// kubectl apply --validate=strict.
package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
)

type object = map[string]any

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: kubeschemas OUT FILE_OR_FOLDER…")
		os.Exit(2)
	}
	for _, from := range os.Args[2:] {
		if err := convert(os.Args[1], from); err != nil {
			fmt.Fprintln(os.Stderr, "kubeschemas:", err)
			os.Exit(1)
		}
	}
}

// convert converts the files of a folder and those below it, or one file.
func convert(out, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		switch filepath.Ext(path) {
		case ".json":
			err = openAPI(out, data)
		case ".yaml", ".yml":
			err = definitions(out, data)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
}

// openAPI converts a document of OpenAPI 3, as Kubernetes publishes one for each group and version.
func openAPI(out string, data []byte) error {
	var document struct{ Components struct{ Schemas object } }
	if err := json.Unmarshal(data, &document); err != nil {
		return err
	}
	schemas := document.Components.Schemas
	strict(schemas) // all before the first is written with others
	for name, schema := range schemas {
		for _, kind := range list(schema, "x-kubernetes-group-version-kind") {
			whole := object{"$ref": "#/components/schemas/" + name, "components": object{"schemas": closure(schemas, name)}}
			if err := write(out, text(kind, "group"), text(kind, "version"), text(kind, "kind"), whole); err != nil {
				return err
			}
		}
	}
	return nil
}

// closure is a schema and those that it refers to.
func closure(schemas object, name string) object {
	found := object{}
	var visit func(value any)
	visit = func(value any) {
		switch v := value.(type) {
		case object:
			if ref, ok := v["$ref"].(string); ok {
				if name := strings.TrimPrefix(ref, "#/components/schemas/"); found[name] == nil && schemas[name] != nil {
					found[name] = schemas[name]
					visit(schemas[name])
				}
			}
			for _, below := range v {
				visit(below)
			}
		case []any:
			for _, below := range v {
				visit(below)
			}
		}
	}
	visit(object{"$ref": "#/components/schemas/" + name})
	return found
}

// definitions converts the CustomResourceDefinitions of a YAML file.
func definitions(out string, data []byte) error {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	for {
		var resource struct {
			Kind string
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema object `yaml:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := decoder.Decode(&resource); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if resource.Kind != "CustomResourceDefinition" {
			continue
		}
		for _, version := range resource.Spec.Versions {
			schema := version.Schema.OpenAPIV3Schema
			strict(schema)
			if err := write(out, resource.Spec.Group, version.Name, resource.Spec.Names.Kind, schema); err != nil {
				return err
			}
		}
	}
}

// strict refuses keys that an object does not list. Metadata without a list is Kubernetes' own.
func strict(value any) {
	switch v := value.(type) {
	case object:
		properties, listed := v["properties"].(object)
		if listed && v["additionalProperties"] == nil && v["x-kubernetes-preserve-unknown-fields"] != true && v["x-kubernetes-embedded-resource"] != true {
			v["additionalProperties"] = false
		}
		for key, below := range v {
			if key != "properties" {
				strict(below)
			}
		}
		for _, below := range properties {
			strict(below)
		}
	case []any:
		for _, below := range v {
			strict(below)
		}
	}
}

func list(value any, key string) []any {
	of, _ := value.(object)
	found, _ := of[key].([]any)
	return found
}

func text(value any, key string) string {
	of, _ := value.(object)
	found, _ := of[key].(string)
	return found
}

func write(out, group, version, kind string, schema object) error {
	data, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	// kubeconform takes the version of the core for its group.
	path := filepath.Join(out, cmp.Or(group, version), strings.ToLower(kind)+"_"+version+".json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}
