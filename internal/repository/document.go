package repository

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Bounds on a model.yaml. The parser's time grows with the square of the depth of open brackets.
const (
	maxDocument = 64 << 10
	maxBrackets = 32
)

// document is a model.yaml on its way into a Definition. The syntax tree is walked here, rather than by the
// YAML library's decoder, because that one stops at the first mistake and turns text into numbers.
type document struct {
	lines    map[string]int // the line of every key in the file
	mistakes mistakes
}

// parseDocument reads data into v, a pointer to a struct with yaml tags. A file that is no YAML at all gives one
// mistake; everything else wrong is gathered.
func parseDocument(data []byte, v any) *document {
	doc := &document{lines: map[string]int{}}
	if message := tooMuch(data); message != "" {
		doc.mistakes.add("", "%s", message)
		return doc
	}
	file, err := parser.ParseBytes(data, 0)
	if err != nil {
		line, message := syntaxError(err)
		doc.lines[""] = line
		doc.mistakes.add("", "%s", message)
		return doc
	}
	switch {
	case len(file.Docs) == 0 || file.Docs[0].Body == nil:
		doc.mistakes.add("", "the file is empty")
	case len(file.Docs) > 1:
		doc.mistakes.add("", "the file holds %d YAML documents; allowed: 1", len(file.Docs))
	default:
		doc.value(file.Docs[0].Body, reflect.ValueOf(v).Elem(), "")
	}
	return doc
}

func tooMuch(data []byte) string {
	if len(data) > maxDocument {
		return fmt.Sprintf("the file has %d bytes; allowed: %d", len(data), maxDocument)
	}
	open := 0
	for _, c := range data {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open--
		}
		if open > maxBrackets {
			return fmt.Sprintf("more than %d brackets are open at once", maxBrackets)
		}
	}
	return ""
}

func syntaxError(err error) (line int, message string) {
	var e yaml.Error
	if errors.As(err, &e) && e.GetToken() != nil {
		return e.GetToken().Position.Line, "not valid YAML: " + e.GetMessage()
	}
	return 0, "not valid YAML: " + err.Error()
}

// place is the file and line of a key, or of the nearest key around it.
func (doc *document) place(file string) func(key string) string {
	return func(key string) string {
		for {
			if line := doc.lines[key]; line > 0 {
				return fmt.Sprintf("%s:%d: ", file, line)
			}
			if key == "" {
				return file + ": "
			}
			key = key[:max(0, strings.LastIndexAny(key, ".["))]
		}
	}
}

func (doc *document) given(key string) bool { return doc.lines[key] > 0 }

var (
	durationType = reflect.TypeFor[time.Duration]()
	versionsType = reflect.TypeFor[Versions]()
)

// value reads one node into v, which its type decides.
func (doc *document) value(node ast.Node, v reflect.Value, key string) {
	switch node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		doc.mistakes.add(key, "anchors, aliases and tags are not read here; write the value out")
		return
	case *ast.NullNode:
		doc.mistakes.add(key, "has no value; give one or leave the key out")
		return
	}
	switch {
	case v.Type() == durationType:
		doc.duration(node, v, key)
	case v.Type() == versionsType:
		doc.versions(node, v, key)
	case v.Kind() == reflect.Struct:
		doc.mapping(node, v, key)
	case v.Kind() == reflect.Slice:
		doc.list(node, v, key)
	default:
		doc.scalar(node, v, key)
	}
}

func (doc *document) mapping(node ast.Node, v reflect.Value, key string) {
	entries, ok := mappingEntries(node)
	if !ok {
		doc.mistakes.add(key, "want keys and values, not %s", describe(node))
		return
	}
	fields := fieldsOf(v)
	for _, entry := range entries {
		name := entry.Key.GetToken().Value
		path := name
		if key != "" {
			path = key + "." + name
		}
		doc.lines[path] = entry.Key.GetToken().Position.Line
		if field, ok := fields[name]; ok {
			doc.value(entry.Value, field, path)
		} else {
			doc.mistakes.add(path, "unknown key; allowed here: %s", fieldNames(v))
		}
	}
}

func mappingEntries(node ast.Node) ([]*ast.MappingValueNode, bool) {
	switch n := node.(type) {
	case *ast.MappingNode:
		return n.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}, true
	}
	return nil, false
}

func fieldsOf(v reflect.Value) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		if tag := v.Type().Field(i).Tag.Get("yaml"); tag != "-" {
			fields[tag] = v.Field(i)
		}
	}
	return fields
}

func fieldNames(v reflect.Value) string {
	var names []string
	for name := range fieldsOf(v) {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// list reads a sequence, or one value as a list of one.
func (doc *document) list(node ast.Node, v reflect.Value, key string) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		doc.value(node, v.Index(0), key)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(sequence.Values), len(sequence.Values)))
	for i, element := range sequence.Values {
		path := indexKey(key, i)
		if token := element.GetToken(); token != nil {
			doc.lines[path] = token.Position.Line
		}
		doc.value(element, v.Index(i), path)
	}
}
