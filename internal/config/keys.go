package config

import (
	"reflect"
	"strings"
)

// Key describes a key of a configuration, for its documentation.
type Key struct {
	Name    string // in full, such as http.tls.key
	Type    string // duration, size, bool, int, float, list, map or string
	Default string // empty: none
	Allowed string // the range or the values; empty: no limit
	Help    string // of the tag; empty: Owner's source has a comment instead

	Owner reflect.Type // the struct that has the key as a field
	Field string       // the field's name in Go
}

// Keys describes the keys of a configuration in their order. The values are the defaults.
func Keys(defaults any) []Key { return keysOf("", reflect.Indirect(reflect.ValueOf(defaults))) }

func keysOf(section string, v reflect.Value) (list []Key) {
	for i := range v.NumField() {
		f, tag := v.Field(i), v.Type().Field(i).Tag
		name := Join(section, tag.Get("yaml"))
		switch {
		case tag.Get("yaml") == "" || tag.Get("yaml") == "-":
		case tag.Get("yaml") == inline:
			list = append(list, keysOf(section, f)...)
		case isSection(f.Type()):
			list = append(list, keysOf(name, f)...)
		default:
			k := Key{Name: name, Type: typeName(f), Allowed: allowed(tag), Help: tag.Get("help"), Owner: v.Type(), Field: v.Type().Field(i).Name}
			if f.Kind() == reflect.Map {
				k.Type = "map"
			} else if !f.IsZero() {
				k.Default = Format(f.Interface())
			}
			list = append(list, k)
		}
	}
	return list
}

// allowed is what the tags of a key say about its values.
func allowed(tag reflect.StructTag) string {
	if values := tag.Get("oneof"); values != "" {
		return strings.ReplaceAll(values, ",", ", ")
	}
	return strings.Replace(tag.Get("range"), "..", " to ", 1)
}
