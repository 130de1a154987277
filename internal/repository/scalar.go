package repository

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

const maxText = 4096 // bytes of one value

func (doc *document) scalar(node ast.Node, v reflect.Value, key string) {
	switch v.Kind() {
	case reflect.String:
		doc.text(node, v, key)
	case reflect.Int, reflect.Int64:
		if n, ok := wholeNumber(node); ok {
			v.SetInt(n)
		} else {
			doc.mistakes.add(key, "want a whole number, not %s", describe(node))
		}
	case reflect.Float64:
		if f, ok := number(node); ok {
			v.SetFloat(f)
		} else {
			doc.mistakes.add(key, "want a number, not %s", describe(node))
		}
	default:
		panic("models: a definition has a field of kind " + v.Kind().String())
	}
}

func (doc *document) text(node ast.Node, v reflect.Value, key string) {
	s, ok := plainText(node)
	if !ok {
		doc.mistakes.add(key, "want text, not %s; put it in quotes", describe(node))
		return
	}
	if message := badText(s, key == "description"); message != "" {
		doc.mistakes.add(key, "%s", message)
		return
	}
	v.SetString(s)
}

// badText says why text may not stand in a definition: it goes to logs and answers.
func badText(s string, lines bool) string {
	if len(s) > maxText {
		return fmt.Sprintf("has %d bytes; allowed: %d", len(s), maxText)
	}
	if !utf8.ValidString(s) {
		return "is not valid UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) && !(lines && r == '\n') {
			return fmt.Sprintf("holds the control character %U", r)
		}
	}
	return ""
}

func plainText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return n.Value.Value, true
	}
	return "", false
}

// unquoted is text that stands without quotes, so that it may be a number the YAML parser did not know as one
// (1e-3, for example).
func unquoted(node ast.Node) (string, bool) {
	n, ok := node.(*ast.StringNode)
	return valueOf(n), ok && n.Token != nil && n.Token.Type == token.StringType
}

func valueOf(n *ast.StringNode) string {
	if n == nil {
		return ""
	}
	return n.Value
}

func wholeNumber(node ast.Node) (int64, bool) {
	n, ok := node.(*ast.IntegerNode)
	if !ok {
		return 0, false
	}
	switch i := n.Value.(type) {
	case int64:
		return i, true
	case uint64:
		return int64(i), i <= math.MaxInt64
	}
	return 0, false
}

func number(node ast.Node) (float64, bool) {
	switch n := node.(type) {
	case *ast.IntegerNode:
		i, ok := wholeNumber(n)
		return float64(i), ok
	case *ast.FloatNode:
		return n.Value, true
	case *ast.NanNode:
		return math.NaN(), true
	case *ast.InfinityNode:
		return n.Value, true
	}
	s, ok := unquoted(node)
	if !ok {
		return 0, false
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil
}

func (doc *document) duration(node ast.Node, v reflect.Value, key string) {
	if n, ok := wholeNumber(node); ok && n == 0 {
		v.SetInt(0)
		return
	}
	if s, ok := plainText(node); ok {
		if d, err := time.ParseDuration(s); err == nil {
			v.SetInt(int64(d))
			return
		}
	}
	doc.mistakes.add(key, "want a time with its unit, such as 2ms, not %s", describe(node))
}

// versions reads latest, all, one number or a list of numbers.
func (doc *document) versions(node ast.Node, v reflect.Value, key string) {
	if s, ok := plainText(node); ok {
		switch s {
		case "latest":
			v.Set(reflect.ValueOf(Versions{}))
		case "all":
			v.Set(reflect.ValueOf(Versions{All: true}))
		default:
			doc.mistakes.add(key, "%q is not known; allowed: latest, all, or a list of version numbers", s)
		}
		return
	}
	var numbers []int
	doc.list(node, reflect.ValueOf(&numbers).Elem(), key)
	if len(numbers) == 0 {
		doc.mistakes.add(key, "the list is empty; allowed: latest, all, or a list of version numbers")
	}
	v.Set(reflect.ValueOf(Versions{Numbers: numbers}))
}

// describe names what stands in the file, cut to a length fit for a message.
func describe(node ast.Node) string {
	switch n := node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys and values"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode:
		return fmt.Sprintf("%.40q", n.Value)
	}
	if t := node.GetToken(); t != nil {
		return fmt.Sprintf("%.40q", t.Value)
	}
	return node.Type().String()
}
