package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Bounds on a file. The parser's time grows with the square of the depth.
const (
	MaxFile    = 64 << 10
	maxNesting = 32
	maxText    = 4096 // bytes of one value in a strict file
)

// Report is the result of reading: what is wrong, and where each key was given.
type Report struct {
	errs   Errors
	at     map[string]Position
	file   string
	strict bool
}

// Parse reads YAML over what into, a pointer to a struct, holds. file is its name in errors.
func Parse(data []byte, file string, into any) *Report { return parse(data, file, into, false) }

// ParseStrict is Parse for files that are written by hand and come from elsewhere. Text that looks like a number must be
// quoted and numbers must not be, text must be printable (it goes to logs and responses), and no key may be without a value.
func ParseStrict(data []byte, file string, into any) *Report { return parse(data, file, into, true) }

// parse walks the syntax tree itself: the library's decoder ends at the first error and turns text into numbers.
func parse(data []byte, file string, into any, strict bool) *Report {
	r := &Report{at: map[string]Position{"": {File: file}}, file: file, strict: strict}
	if len(data) > MaxFile {
		r.add("", "has %d bytes; the limit is %d", len(data), MaxFile)
		return r
	}
	tokens := lexer.Tokenize(string(data))
	if nested(tokens) {
		r.add("", "more than %d levels are open at once", maxNesting)
		return r
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		r.syntaxError(err)
		return r
	}
	switch {
	case len(tree.Docs) > 1:
		r.add("", "holds %d YAML documents; only one is allowed", len(tree.Docs))
	case len(tree.Docs) == 1 && tree.Docs[0].Body != nil:
		if keys, ok := tree.Docs[0].Body.(ast.MapNode); ok {
			r.mapping(keys, reflect.ValueOf(into).Elem(), "")
		} else {
			r.add("", "want keys and values")
		}
	case strict:
		r.add("", "is empty")
	}
	return r
}

// nested reports whether too many levels are open at once. Only brackets and what begins on one line without a comma in
// between can nest deeply: every other level takes a line with more indentation. Characters within quotes and comments do not count.
func nested(tokens token.Tokens) bool {
	open, line, begun := 0, 0, 0
	for _, t := range tokens {
		if t.Position.Line != line {
			line, begun = t.Position.Line, 0
		}
		switch t.Type {
		case token.SequenceStartType, token.MappingStartType:
			open++
		case token.SequenceEndType, token.MappingEndType:
			open--
		case token.CollectEntryType: // a comma
			begun = 0
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.AnchorType, token.AliasType, token.TagType:
			begun++
		}
		if open > maxNesting || begun > maxNesting {
			return true
		}
	}
	return false
}

func (r *Report) syntaxError(err error) {
	message := err.Error()
	if e, ok := errors.AsType[yaml.Error](err); ok && e.GetToken() != nil {
		message = e.GetMessage()
		r.at[""] = r.position(e.GetToken())
	}
	r.add("", "invalid YAML: %s", message)
}

func (r *Report) position(t *token.Token) Position {
	if t == nil || t.Position == nil {
		return Position{File: r.file}
	}
	return Position{File: r.file, Line: t.Position.Line, Column: t.Position.Column}
}

// Given reports whether a key was given by any source.
func (r *Report) Given(key string) bool {
	_, ok := r.at[key]
	return ok && key != ""
}

// Add adds errors found later, with the positions of their keys. Keys that could not be read are not reported again:
// they are not missing or out of range as well.
func (r *Report) Add(errs Errors) {
	before := r.errs
	for _, e := range errs {
		if !before.Concerns(e.Key) {
			e.Position = r.where(e.Key)
			r.errs = append(r.errs, e)
		}
	}
}

// Err returns all errors, those of the file first and in its order, or nil.
func (r *Report) Err() error {
	slices.SortStableFunc(r.errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(b.Position.File, a.Position.File), cmp.Compare(a.Position.Line, b.Position.Line), cmp.Compare(a.Position.Column, b.Position.Column))
	})
	return r.errs.Err()
}

// Check validates a configuration that was read, and returns all errors.
func (r *Report) Check(config any) error {
	r.Add(check(reflect.ValueOf(config)))
	return r.Err()
}

func (r *Report) add(key, format string, args ...any) {
	r.errs.Add(key, format, args...)
	r.errs[len(r.errs)-1].Position = r.where(key)
}

// failed adds what set has returned for a key.
func (r *Report) failed(key string, err error) {
	for _, e := range asErrors(err) {
		e.Key = Join(key, e.Key)
		e.Position = r.where(e.Key)
		r.errs = append(r.errs, e)
	}
}

// where is the position of a key, or of the nearest key around it.
func (r *Report) where(key string) Position {
	for {
		if at, ok := r.at[key]; ok || key == "" {
			return at
		}
		key = key[:max(0, strings.LastIndexAny(key, ".["))]
	}
}

// value reads a node into v.
func (r *Report) value(node ast.Node, v reflect.Value, key string) {
	keyed := v.Kind() == reflect.Map || v.Kind() == reflect.Struct && len(fieldsOf(v)) > 0
	switch n := node.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		r.add(key, "YAML anchors, aliases and tags are not supported; write the value out")
	case *ast.NullNode:
		if r.strict || !isSection(v.Type()) {
			r.add(key, "has no value; give one or remove the key")
		}
	case ast.MapNode:
		switch {
		case keyed:
			r.mapping(n, v, key)
		case v.Kind() == reflect.Slice && !isText(v.Type()):
			r.list([]ast.Node{node}, v, key)
		default:
			r.add(key, "want one value, not keys and values")
		}
	case *ast.SequenceNode:
		r.sequence(n, v, key)
	default:
		r.scalar(node, v, key)
	}
}

func (r *Report) mapping(node ast.MapNode, v reflect.Value, key string) {
	for entry := node.MapRange(); entry.Next(); {
		name := entry.Key().GetToken().Value
		path := Join(key, name)
		r.at[path] = r.position(entry.Key().GetToken())
		if v.Kind() == reflect.Map {
			r.entry(entry.Value(), v, name, path)
			continue
		}
		fields := fieldsOf(v)
		if i := slices.IndexFunc(fields, func(f field) bool { return f.name == name }); i >= 0 {
			r.value(entry.Value(), fields[i].Value, path)
			continue
		}
		names := make([]string, len(fields))
		for i, f := range fields {
			names[i] = f.name
		}
		slices.Sort(names)
		r.add(path, "unknown key; allowed here: %s", strings.Join(names, ", "))
	}
}

// entry reads a value of a map.
func (r *Report) entry(node ast.Node, v reflect.Value, name, key string) {
	if v.IsNil() {
		v.Set(reflect.MakeMap(v.Type()))
	}
	element := reflect.New(v.Type().Elem()).Elem()
	r.value(node, element, key)
	v.SetMapIndex(reflect.ValueOf(name), element)
}

// sequence reads a list, or text whose parts are listed.
func (r *Report) sequence(n *ast.SequenceNode, v reflect.Value, key string) {
	switch {
	case isText(v.Type()):
		parts := make([]string, len(n.Values))
		for i, element := range n.Values {
			if _, ok := element.(ast.ScalarNode); !ok {
				r.add(Index(key, i), "want one value")
				return
			}
			parts[i], _ = textOf(element)
		}
		r.failed(key, set(v, strings.Join(parts, ",")))
	case v.Kind() == reflect.Slice:
		r.list(n.Values, v, key)
	default:
		r.add(key, "want one value, not a list")
	}
}

func (r *Report) list(nodes []ast.Node, v reflect.Value, key string) {
	v.Set(reflect.MakeSlice(v.Type(), len(nodes), len(nodes)))
	for i, node := range nodes {
		path := Index(key, i)
		if t := node.GetToken(); t != nil {
			r.at[path] = r.position(t)
		}
		r.value(node, v.Index(i), path)
	}
}

func (r *Report) scalar(node ast.Node, v reflect.Value, key string) {
	text, kind := textOf(node)
	switch {
	case v.Kind() == reflect.Map || isSection(v.Type()):
		r.add(key, "want keys and values, not %.40q", text)
		return
	case r.strict && v.Kind() == reflect.Slice:
		r.list([]ast.Node{node}, v, key)
		return
	case r.strict:
		if message := mismatch(v, text, kind); message != "" {
			r.add(key, "%s", message)
			return
		}
	}
	r.failed(key, set(v, text))
}

// The kinds of scalars: in quotes, as a block of lines, as plain text, and what YAML takes for a number, true or false.
const (
	quoted = iota
	block
	plain
	other
)

func textOf(node ast.Node) (text string, kind int) {
	switch n := node.(type) {
	case *ast.StringNode:
		if n.Token != nil && n.Token.Type == token.StringType {
			return n.Value, plain
		}
		return n.Value, quoted
	case *ast.LiteralNode:
		return n.Value.Value, block
	case *ast.NanNode:
		return "NaN", other
	case *ast.InfinityNode:
		return Format(n.Value), other
	}
	return node.GetToken().Value, other
}

// mismatch says why a scalar of a strict file is not of the type of v, or cannot be shown.
func mismatch(v reflect.Value, text string, kind int) string {
	switch {
	case v.Kind() != reflect.String && v.Type() != durationType && !isText(v.Type()):
		if kind == quoted || kind == block {
			return fmt.Sprintf("%.40q is text; remove the quotes", text)
		}
		return ""
	case v.Kind() == reflect.String && kind == other:
		return fmt.Sprintf("%.40s is not text; put it in quotes", text)
	}
	return Unprintable(text, kind == block)
}

// Unprintable says why text cannot go to logs and responses, or nothing.
func Unprintable(text string, lines bool) string {
	switch {
	case len(text) > maxText:
		return fmt.Sprintf("has %d bytes; the limit is %d", len(text), maxText)
	case !utf8.ValidString(text):
		return "is not valid UTF-8"
	}
	for _, c := range text {
		if unicode.IsControl(c) && !(lines && c == '\n') {
			return fmt.Sprintf("contains the control character %U", c)
		}
	}
	return ""
}
