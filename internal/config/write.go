package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// Write prints a configuration as YAML that Parse reads back.
func Write(w io.Writer, config any) error {
	var b strings.Builder
	write(&b, reflect.Indirect(reflect.ValueOf(config)), "")
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteJSON prints a configuration as JSON, with the keys of Write.
func WriteJSON(w io.Writer, config any) error {
	var text bytes.Buffer
	if err := Write(&text, config); err != nil {
		return err
	}
	data, err := yaml.YAMLToJSON(text.Bytes())
	if err != nil {
		return err
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, data, "", "  "); err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, strings.TrimSpace(indented.String()))
	return err
}

func write(b *strings.Builder, v reflect.Value, indent string) {
	for _, f := range fieldsOf(v) {
		switch {
		case isSection(f.Type()):
			fmt.Fprintf(b, "%s%s:\n", indent, f.name)
			write(b, f.Value, indent+"  ")
		case f.Kind() == reflect.Map:
			values := f.Interface().(map[string]string)
			if len(values) == 0 {
				fmt.Fprintf(b, "%s%s: {}\n", indent, f.name)
				continue
			}
			fmt.Fprintf(b, "%s%s:\n", indent, f.name)
			for _, name := range slices.Sorted(maps.Keys(values)) {
				fmt.Fprintf(b, "%s  %s: %s\n", indent, quote(name), quote(values[name]))
			}
		case f.Kind() == reflect.Slice && !isText(f.Type()):
			elements := make([]string, f.Len())
			for i := range elements {
				elements[i] = scalarText(f.Index(i))
			}
			fmt.Fprintf(b, "%s%s: [%s]\n", indent, f.name, strings.Join(elements, ", "))
		default:
			fmt.Fprintf(b, "%s%s: %s\n", indent, f.name, scalarText(f.Value))
		}
	}
}

func scalarText(v reflect.Value) string {
	text := Format(v.Interface())
	if v.CanInt() || v.CanUint() || v.CanFloat() || v.Kind() == reflect.Bool {
		return text
	}
	return quote(text)
}

var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_./-]*$`)

// quote writes text so that YAML reads it as text. JSON's quotes are YAML's, too.
func quote(text string) string {
	if plainText.MatchString(text) && !slices.Contains([]string{"true", "false", "null"}, strings.ToLower(text)) {
		return text
	}
	var quoted strings.Builder
	encoder := json.NewEncoder(&quoted)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(text) // text is always JSON
	return strings.TrimSpace(quoted.String())
}
