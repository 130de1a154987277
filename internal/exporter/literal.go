package exporter

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/repository"
)

// errLiteral is the error of text that is no literal of Python.
var errLiteral = errors.New("is not a list or dict")

// maxLiteral bounds the nesting of a literal.
const maxLiteral = 16

// literal parses a literal of Python, as Ultralytics and YOLOv5 write lists and dicts into metadata: dicts, lists, tuples,
// strings, numbers, True, False and None. JSON is accepted, too. Keys of dicts become strings.
func literal(s string) (any, error) {
	var v any
	if json.Unmarshal([]byte(s), &v) == nil {
		return v, nil
	}
	p := literalParser{s}
	v, err := p.value(0)
	if err == nil && strings.TrimSpace(p.rest) != "" {
		err = errLiteral
	}
	return v, err
}

// jsonObject parses a JSON object.
func jsonObject(data []byte) (map[string]any, error) {
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		at := int64(len(data))
		if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
			at = syntax.Offset
		}
		return nil, fmt.Errorf("is not valid JSON: line %d: %w", 1+bytes.Count(data[:min(at, int64(len(data)))], []byte("\n")), err)
	}
	object, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("is not a JSON object")
	}
	return object, nil
}

// distinct returns errors without those that repeat another.
func distinct(errs []error) []error {
	seen := map[string]bool{}
	return slices.DeleteFunc(slices.Clone(errs), func(err error) bool {
		again := seen[err.Error()]
		seen[err.Error()] = true
		return again
	})
}

type literalParser struct{ rest string }

func (p *literalParser) skip() { p.rest = strings.TrimLeft(p.rest, " \t\r\n") }

// take reports whether the next character is c, and skips it then.
func (p *literalParser) take(c byte) bool {
	p.skip()
	if p.rest == "" || p.rest[0] != c {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

func (p *literalParser) value(depth int) (any, error) {
	p.skip()
	if p.rest == "" || depth > maxLiteral {
		return nil, errLiteral
	}
	switch p.rest[0] {
	case '{':
		return p.dict(depth)
	case '[':
		return p.list(']', depth)
	case '(':
		return p.list(')', depth)
	case '\'', '"':
		return p.text()
	}
	end := strings.IndexAny(p.rest, ",]}):")
	if end < 0 {
		end = len(p.rest)
	}
	word := strings.TrimSpace(p.rest[:end])
	p.rest = p.rest[end:]
	switch word {
	case "True":
		return true, nil
	case "False":
		return false, nil
	case "None":
		return nil, nil
	}
	n, err := strconv.ParseFloat(word, 64)
	if err != nil {
		return nil, errLiteral
	}
	return n, nil
}

func (p *literalParser) list(end byte, depth int) (any, error) {
	p.rest = p.rest[1:]
	list := []any{}
	for !p.take(end) {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		if !p.take(',') && !strings.HasPrefix(p.rest, string(end)) {
			return nil, errLiteral
		}
	}
	return list, nil
}

func (p *literalParser) dict(depth int) (any, error) {
	p.rest = p.rest[1:]
	dict := map[string]any{}
	for !p.take('}') {
		key, err := p.value(depth + 1)
		if err != nil || !p.take(':') {
			return nil, errLiteral
		}
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		dict[fmt.Sprint(key)] = v
		if !p.take(',') && !strings.HasPrefix(p.rest, "}") {
			return nil, errLiteral
		}
	}
	return dict, nil
}

// text parses a string with Python's escapes of repr.
func (p *literalParser) text() (string, error) {
	quote := p.rest[0]
	var out strings.Builder
	for i := 1; i < len(p.rest); i++ {
		c := p.rest[i]
		switch {
		case c == quote:
			p.rest = p.rest[i+1:]
			return out.String(), nil
		case c != '\\':
			out.WriteByte(c)
			continue
		case i+1 == len(p.rest):
			return "", errLiteral
		}
		r, _, tail, err := strconv.UnquoteChar(p.rest[i:], 0)
		if next := p.rest[i+1]; next == '\'' || next == '"' {
			r, tail, err = rune(next), p.rest[i+2:], nil
		}
		if err != nil {
			return "", errLiteral
		}
		out.WriteRune(r)
		i = len(p.rest) - len(tail) - 1
	}
	return "", errLiteral
}

// labelList turns a list of labels, or a dict of labels by class number, into labels.
func labelList(v any) (labels []string, ok bool) {
	switch v := v.(type) {
	case []any:
		for _, label := range v {
			labels = append(labels, fmt.Sprint(label))
		}
	case map[string]any:
		for key, label := range v {
			i, err := strconv.Atoi(key)
			if n, numbered := label.(float64); err != nil && numbered { // as in Keras' class_indices
				i, label, err = int(n), key, nil
			}
			if err != nil || i < 0 || i >= repository.MaxLabels {
				return nil, false
			}
			for len(labels) <= i {
				labels = append(labels, "")
			}
			labels[i] = fmt.Sprint(label)
		}
	}
	return labels, len(labels) > 0
}

// integers turns a list of numbers, or one number, into integers.
func integers(v any) (list []int64) {
	for _, f := range floats(v) {
		list = append(list, int64(f))
	}
	return list
}

// floats turns a list of numbers, or one number, into floats.
func floats(v any) (list []float64) {
	switch v := v.(type) {
	case float64:
		return []float64{v}
	case []any:
		for _, e := range v {
			n, ok := e.(float64)
			if !ok {
				return nil
			}
			list = append(list, n)
		}
	}
	return list
}
