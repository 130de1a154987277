package main

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"fovea/internal/config"
)

// chartSchema describes the values of the Helm chart. Its part for the server's configuration follows from Config.
const chartSchema = "../../deploy/helm/fovea/values.schema.json"

// ofTheChart are the keys and sections that the chart sets itself, from other values.
var ofTheChart = []string{"http.address", "http.keys", "http.tls", "grpc.address", "inference.device", "inference.library",
	"repository.dir", "repository.poll", "shutdown"}

// jsonObject is an object of a JSON schema.
type jsonObject = map[string]any

// schemaOf is the JSON schema of a section.
func schemaOf(section string, t reflect.Type) jsonObject {
	properties := jsonObject{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		key := config.Join(section, name)
		switch {
		case options == "inline":
			for key, value := range schemaOf(section, f.Type)["properties"].(jsonObject) {
				properties[key] = value
			}
		case slices.Contains(ofTheChart, key):
		case f.Type.Kind() == reflect.Struct:
			properties[name] = schemaOf(key, f.Type)
		default:
			properties[name] = schemaOfKey(f.Type, f.Tag)
		}
	}
	return jsonObject{"type": "object", "additionalProperties": false, "properties": properties}
}

func schemaOfKey(t reflect.Type, tag reflect.StructTag) jsonObject {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return jsonObject{"type": "string", "pattern": `^([0-9]+(\.[0-9]+)?(ns|us|ms|s|m|h))+$`}
	case t == reflect.TypeFor[config.Size]():
		return jsonObject{"type": []string{"string", "integer"}, "pattern": `^[0-9]+(\.[0-9]+)? ?(B|KiB|MiB|GiB|TiB)?$`, "minimum": 0}
	case tag.Get("oneof") != "":
		return jsonObject{"enum": strings.Split(tag.Get("oneof"), ",")}
	}
	switch t.Kind() {
	case reflect.Slice:
		return jsonObject{"type": "array", "items": jsonObject{"type": "string", "pattern": "^[^,]+$"}}
	case reflect.Bool:
		return jsonObject{"type": "boolean"}
	case reflect.Float64:
		return bounded("number", tag.Get("range"))
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return bounded("integer", tag.Get("range"))
	}
	return jsonObject{"type": "string"}
}

// bounded adds a tag range, such as 1..64 or >0..1.
func bounded(kind, bounds string) jsonObject {
	schema := jsonObject{"type": kind}
	low, high, _ := strings.Cut(bounds, "..")
	if n, err := strconv.ParseFloat(strings.TrimPrefix(low, ">"), 64); err == nil {
		if strings.HasPrefix(low, ">") {
			schema["exclusiveMinimum"] = n
		} else {
			schema["minimum"] = n
		}
	}
	if n, err := strconv.ParseFloat(high, 64); err == nil {
		schema["maximum"] = n
	}
	return schema
}

// TestChartKnowsTheConfiguration: the chart refuses a key that the server does not have, and knows each that it has.
func TestChartKnowsTheConfiguration(t *testing.T) {
	file, err := os.ReadFile(chartSchema)
	if err != nil {
		t.Fatal(err)
	}
	want, err := json.MarshalIndent(schemaOf("", reflect.TypeFor[Config]()), "    ", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const before = "  \"$defs\": {\n    \"config\": "
	head, got, found := bytes.Cut(file, []byte(before))
	if !found {
		t.Fatalf("%s has no %q", chartSchema, before)
	}
	const after = "\n  }\n}\n"
	if *update {
		if err := os.WriteFile(chartSchema, slices.Concat(head, []byte(before), want, []byte(after)), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(got) != string(want)+after {
		t.Errorf("%s does not describe the configuration; go test ./cmd/serve -run %s -update writes it. Want\n%s", chartSchema, t.Name(), want)
	}
}
