package config

import (
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

const prefix = "FOVEA_"

// notKeys are variables with the prefix that are not keys: what other parts of Fovea read, and what Kubernetes gives the
// pods next to a service named fovea. One that ends in _ stands for all that begin with it.
var notKeys = []string{
	"FOVEA_ORT_LIBRARY", "FOVEA_CONFIG", "FOVEA_API_KEY", "FOVEA_TEST_", "FOVEA_SIMNVML_", "FOVEA_PORT", "FOVEA_PORT_", "FOVEA_SERVICE_",
}

// Sources are where a configuration comes from. Precedence: flags, environment, file.
type Sources struct {
	File        string         // YAML; empty: none
	Environment []string       // NAME=value; variables that are set but empty count as not set
	Flags       *pflag.FlagSet // made by AddFlags; nil: none
}

// Load reads sources over the defaults that into, a pointer to a struct, holds, and validates the result.
func Load(into any, from Sources) error { return Read(into, from).Check(into) }

// Read is Load without the validation, which Report.Check does.
func Read(into any, from Sources) *Report {
	r := readFile(into, from.File)
	keys := leaves(into)
	r.environment(keys, from.Environment)
	if from.Flags == nil {
		return r
	}
	for _, f := range keys {
		given := from.Flags.Lookup(f.name)
		if given == nil || !given.Changed {
			continue
		}
		if value, ok := given.Value.(*flagValue); ok {
			r.replace(f, "--"+f.name, value.given...)
		}
	}
	return r
}

func readFile(into any, file string) *Report {
	if file == "" {
		return &Report{at: map[string]Position{}}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return &Report{at: map[string]Position{}, errs: asErrors(err)}
	}
	return Parse(data, file, into)
}

func (r *Report) environment(keys []field, environment []string) {
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, prefix) || slices.ContainsFunc(notKeys, func(not string) bool {
			return name == not || strings.HasSuffix(not, "_") && strings.HasPrefix(name, not)
		}) {
			continue
		}
		switch i := slices.IndexFunc(keys, func(f field) bool { return Variable(f.name) == name }); {
		case i < 0:
			r.errs = append(r.errs, &Error{Message: "is not a configuration key", Position: Position{Setting: name}})
		case value != "":
			r.replace(keys[i], name, value)
		}
	}
}

// Variable is the environment variable of a key: FOVEA_HTTP_MAX_IMAGES of http.max_images.
func Variable(key string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// replace gives a key the value of a stronger source, and forgets what was wrong with the weaker one.
func (r *Report) replace(f field, setting string, texts ...string) {
	r.errs = slices.DeleteFunc(r.errs, func(e *Error) bool { return e.Key != "" && within(e.Key, f.name) })
	for key := range r.at {
		if key != "" && within(key, f.name) {
			delete(r.at, key)
		}
	}
	r.at[f.name] = Position{Setting: setting}
	for _, text := range texts {
		r.failed(f.name, set(f.Value, text))
	}
}

// flagValue is a flag of a key. It keeps text, which Read reads as that of every other source.
type flagValue struct {
	typeName, byDefault string
	given               []string
}

func (f *flagValue) Set(text string) error { f.given = append(f.given, text); return nil }
func (f *flagValue) Type() string          { return f.typeName }
func (f *flagValue) String() string {
	if len(f.given) == 0 {
		return f.byDefault
	}
	return strings.Join(f.given, ",")
}

// OneOf is the annotation of a flag that takes one of some words.
const OneOf = "fovea_one_of"

// AddFlags makes a flag of each key, with its help, type, limits and default.
func AddFlags(flags *pflag.FlagSet, defaults any) {
	for _, f := range leaves(defaults) {
		value := &flagValue{typeName: typeName(f.Value)}
		if !f.IsZero() && f.Kind() != reflect.Map {
			value.byDefault = Format(f.Interface())
		}
		help := f.tag.Get("help")
		if limits := f.tag.Get("range"); limits != "" {
			help += " [" + strings.Replace(limits, "..", "–", 1) + "]"
		}
		if allowed := f.tag.Get("oneof"); allowed != "" {
			help += " [" + strings.ReplaceAll(allowed, ",", "|") + "]"
		}
		flag := flags.VarPF(value, f.name, f.tag.Get("short"), help)
		if f.Kind() == reflect.Bool {
			flag.NoOptDefVal = "true"
		}
		if allowed := f.tag.Get("oneof"); allowed != "" {
			flag.Annotations = map[string][]string{OneOf: strings.Split(allowed, ",")}
		}
	}
}
