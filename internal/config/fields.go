// Package config reads the configuration of the programs and the definitions of models. A struct and the tags of its
// fields describe everything: the keys of a file, the environment variables, the flags, their help, the checks, and what
// `config` prints.
//
//	yaml:"max_images"       the key; a nested struct is a section, and with ",inline" its keys belong to the outer one
//	help:"images a request" for the flags
//	range:"1..4096"         what is allowed, both included; ">0..1" leaves the lower one out
//	oneof:"auto,json,text"  the values allowed
//
// Fields are strings, numbers, switches, time.Duration, Size, lists of these, map[string]string in files alone, or types
// with UnmarshalText and String. A Checker adds rules for several keys. Errors carry the key and where its value was
// given, and are reported together.
package config

import "reflect"

// inline is the tag of a struct whose keys belong to the outer one.
const inline = ",inline"

// field is one key of a struct.
type field struct {
	reflect.Value

	name string
	tag  reflect.StructTag
}

// fieldsOf lists a struct's keys in order.
func fieldsOf(v reflect.Value) (list []field) {
	for i := range v.NumField() {
		switch f := v.Type().Field(i); f.Tag.Get("yaml") {
		case "", "-":
		case inline:
			list = append(list, fieldsOf(v.Field(i))...)
		default:
			list = append(list, field{v.Field(i), f.Tag.Get("yaml"), f.Tag})
		}
	}
	return list
}

func isSection(t reflect.Type) bool { return t.Kind() == reflect.Struct && !isText(t) }

// leaves lists the keys below a struct that have values, with their full names.
func leaves(config any) []field { return leavesOf("", reflect.Indirect(reflect.ValueOf(config))) }

func leavesOf(section string, v reflect.Value) (list []field) {
	for _, f := range fieldsOf(v) {
		f.name = Join(section, f.name)
		if isSection(f.Type()) {
			list = append(list, leavesOf(f.name, f.Value)...)
		} else {
			list = append(list, f)
		}
	}
	return list
}
