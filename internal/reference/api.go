package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// object is a part of an OpenAPI document.
type object = map[string]any

// API returns sections for the routes and the schemas of an OpenAPI document.
func API(t testing.TB, document []byte) string {
	t.Helper()
	a := api{}
	if err := json.Unmarshal(document, &a.document); err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	b.WriteString("## Routes\n\n")
	paths := a.document["paths"].(object)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		methods := paths[path].(object)
		for _, method := range []string{"get", "post", "put", "delete"} {
			if operation, ok := methods[method].(object); ok {
				shared, _ := methods["parameters"].([]any)
				a.operation(&b, strings.ToUpper(method)+" "+path, operation, shared)
			}
		}
	}
	b.WriteString("## Schemas\n\n")
	schemas := a.document["components"].(object)["schemas"].(object)
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		a.schema(&b, name, schemas[name].(object))
	}
	return b.String()
}

type api struct{ document object }

// resolved follows a reference.
func (a api) resolved(value any) object {
	o, _ := value.(object)
	for {
		ref, ok := o["$ref"].(string)
		if !ok {
			return o
		}
		var at any = a.document
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			at = at.(object)[part]
		}
		o = at.(object)
	}
}

func text(o object, key string) string {
	s, _ := o[key].(string)
	return s
}

func (a api) operation(b *strings.Builder, route string, o object, shared []any) {
	fmt.Fprintf(b, "### %s\n\n%s.\n\n", route, strings.TrimSuffix(text(o, "summary"), "."))
	if more := text(o, "description"); more != "" {
		fmt.Fprintf(b, "%s\n\n", more)
	}
	var rows [][]string
	own, _ := o["parameters"].([]any)
	for _, p := range slices.Concat(shared, own) {
		p := a.resolved(p)
		required := ""
		if p["required"] == true {
			required = ", required"
		}
		rows = append(rows, []string{code(text(p, "name")), text(p, "in") + required, a.typeOf(p["schema"]), cell(text(p, "description"))})
	}
	if len(rows) > 0 {
		table(b, rows, "parameter", "in", "type", "meaning")
	}
	if body := a.resolved(o["requestBody"]); body != nil {
		fmt.Fprintf(b, "Body: %s.\n\n", a.contents(body))
	}
	responses, _ := o["responses"].(object)
	rows = nil
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		r := a.resolved(responses[status])
		rows = append(rows, []string{status, a.contents(r), cell(text(r, "description"))})
	}
	table(b, rows, "status", "content", "meaning")
}

// contents lists the media types of a body with their schemas.
func (a api) contents(body object) string {
	content, _ := body["content"].(object)
	var list []string
	for _, media := range slices.Sorted(maps.Keys(content)) {
		entry := code(media)
		if kind := a.typeOf(content[media].(object)["schema"]); kind != "" && kind != "string" {
			entry += " " + kind
		}
		list = append(list, entry)
	}
	return strings.Join(list, ", ")
}

// typeOf names a schema: a link to one of the schemas, or its type with its limits.
func (a api) typeOf(value any) string {
	o, _ := value.(object)
	if ref, ok := o["$ref"].(string); ok {
		name := ref[strings.LastIndexByte(ref, '/')+1:]
		return fmt.Sprintf("[%s](#%s)", name, strings.ToLower(name))
	}
	for _, of := range []string{"oneOf", "anyOf"} {
		if list, ok := o[of].([]any); ok {
			var names []string
			for _, one := range list {
				names = append(names, a.typeOf(one))
			}
			return strings.Join(names, " or ")
		}
	}
	switch kind := o["type"].(type) {
	case string:
		return kind + a.limits(kind, o)
	case []any:
		var names []string
		for _, one := range kind {
			names = append(names, fmt.Sprint(one))
		}
		return strings.Join(names, " or ")
	}
	return cell(a.limits("", o))
}

// limits are the elements of a list, the values that are allowed and the bounds of a number.
func (a api) limits(kind string, o object) string {
	if kind == "array" {
		return " of " + a.typeOf(o["items"])
	}
	if kind == "object" {
		if more, ok := o["additionalProperties"].(object); ok {
			return " of " + a.typeOf(more)
		}
		return ""
	}
	if values, ok := o["enum"].([]any); ok {
		var list []string
		for _, v := range values {
			list = append(list, code(fmt.Sprint(v)))
		}
		return ": " + strings.Join(list, ", ")
	}
	low, high := o["minimum"], o["maximum"]
	switch {
	case low != nil && high != nil:
		return fmt.Sprintf(", %v to %v", low, high)
	case low != nil:
		return fmt.Sprintf(", at least %v", low)
	case high != nil:
		return fmt.Sprintf(", at most %v", high)
	}
	return ""
}

func (a api) schema(b *strings.Builder, name string, o object) {
	fmt.Fprintf(b, "### %s\n\n", name)
	if more := text(o, "description"); more != "" {
		fmt.Fprintf(b, "%s\n\n", more)
	}
	properties, _ := o["properties"].(object)
	required, _ := o["required"].([]any)
	var rows [][]string
	for _, field := range slices.Sorted(maps.Keys(properties)) {
		always := ""
		if slices.Contains(required, any(field)) {
			always = "yes"
		}
		rows = append(rows, []string{code(field), a.typeOf(properties[field]), always, cell(text(a.resolved(properties[field]), "description"))})
	}
	if len(rows) > 0 {
		table(b, rows, "field", "type", "always", "meaning")
	} else if kind := a.typeOf(o); kind != "" {
		fmt.Fprintf(b, "%s%s.\n\n", strings.ToUpper(kind[:1]), kind[1:])
	}
}
