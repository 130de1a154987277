package main

import (
	"reflect"
	"strings"
)

// key is one value of the configuration that a file, the environment or a flag can set.
type key struct {
	path  string // such as http.max_images
	usage string
	value any // the default
}

// variable is the key's environment variable, such as FOVEA_HTTP_MAX_IMAGES.
func (k key) variable() string {
	return variablePrefix + strings.ToUpper(strings.ReplaceAll(k.path, ".", "_"))
}

// keys lists the keys of a configuration struct, in its order.
func keys(config any) []key { return keysOf("", reflect.ValueOf(config)) }

func keysOf(prefix string, v reflect.Value) (list []key) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		path := prefix + field.Tag.Get("yaml")
		if field.Type.Kind() == reflect.Struct {
			list = append(list, keysOf(path+".", v.Field(i))...)
			continue
		}
		list = append(list, key{path, field.Tag.Get("usage"), v.Field(i).Interface()})
	}
	return list
}
