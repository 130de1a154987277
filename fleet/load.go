package fleet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"fovea/internal/safeyaml"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Load reads a configuration file over the defaults and validates it. All mistakes are returned at once, each naming
// its key. Relative paths in the file count from its folder.
func Load(file string) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	c, err := Parse(data)
	c.anchor(filepath.Dir(file))
	if err := errors.Join(err, c.Validate()); err != nil {
		return Config{}, fmt.Errorf("configuration file %s: %w", file, err)
	}
	return c, nil
}

// maxFile bounds a configuration file: the parser's time grows with the square of the depth of open brackets.
const maxFile = 64 << 10

// Parse reads YAML over the defaults, without validating the values. Unknown keys and values of the wrong type are
// all returned at once.
func Parse(data []byte) (Config, error) {
	c := Defaults()
	if len(data) > maxFile {
		return c, fmt.Errorf("the file has %d bytes; allowed: %d", len(data), maxFile)
	}
	if strings.Count(string(data), "{")+strings.Count(string(data), "[") > 500 {
		return c, errors.New("more than 500 brackets are opened")
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		return c, fmt.Errorf("not valid YAML: %w", err)
	}
	if len(file.Docs) > 1 {
		return c, fmt.Errorf("the file holds %d YAML documents; allowed: 1", len(file.Docs))
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		return c, nil
	}
	return c, decode(file.Docs[0].Body, reflect.ValueOf(&c).Elem(), "")
}

// decode reads a node into v. The sections are walked here because the library's decoder ends at the first mistake.
func decode(node ast.Node, v reflect.Value, key string) error {
	_, custom := v.Addr().Interface().(yaml.BytesUnmarshaler)
	switch {
	case node.Type() == ast.NullType:
		return fmt.Errorf("%s: has no value; give one or leave the key out", key)
	case v.Kind() != reflect.Struct || custom:
		if err := safeyaml.Value(node, v.Addr().Interface()); err != nil {
			return fmt.Errorf("%s: %s", key, firstLine(err))
		}
		return nil
	}
	entries, err := entriesOf(node)
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	var mistakes []error
	for _, entry := range entries {
		name := entry.Key.GetToken().Value
		path := strings.TrimPrefix(key+"."+name, ".")
		if field, ok := fieldOf(v, name); ok {
			mistakes = append(mistakes, decode(entry.Value, field, path))
		} else {
			mistakes = append(mistakes, fmt.Errorf("%s: unknown key in line %d; allowed here: %s",
				path, entry.Key.GetToken().Position.Line, strings.Join(namesOf(v), ", ")))
		}
	}
	return errors.Join(mistakes...)
}

func entriesOf(node ast.Node) ([]*ast.MappingValueNode, error) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, nil
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, nil
	}
	return nil, fmt.Errorf("want keys and values in line %d", node.GetToken().Position.Line)
}

func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			if field, ok := fieldOf(v.Field(i), name); ok {
				return field, true
			}
		} else if v.Type().Field(i).Tag.Get("yaml") == name && name != "-" {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func namesOf(v reflect.Value) []string {
	var names []string
	for i := range v.NumField() {
		if v.Type().Field(i).Anonymous {
			names = append(names, namesOf(v.Field(i))...)
		} else if name := v.Type().Field(i).Tag.Get("yaml"); name != "-" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// firstLine leaves out the library's image of the source.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// anchor makes paths absolute.
func (c *Config) anchor(dir string) {
	for _, path := range []*string{&c.Models, &c.Socket, &c.State} {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(dir, *path)
		}
		if *path != "" {
			if abs, err := filepath.Abs(*path); err == nil {
				*path = abs
			}
		}
	}
	for name, path := range c.Secrets {
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		if abs, err := filepath.Abs(path); err == nil {
			c.Secrets[name] = abs
		}
	}
}
