package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"fovea/internal/safeyaml"

	"github.com/knadh/koanf/providers/confmap"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"
)

const variablePrefix = "FOVEA_"

// notKeys are variables that others of Fovea's programs read, and one of those that notKeyPrefixes tells of.
var notKeys = []string{"FOVEA_ORT_LIBRARY", "FOVEA_CONFIG", "FOVEA_PORT"}

// notKeyPrefixes begin the variables of tests, of packages with settings of their own, and those by which Kubernetes tells
// the pods beside a service named fovea where it is.
var notKeyPrefixes = []string{"FOVEA_TEST_", "FOVEA_SIMNVML_", "FOVEA_PORT_", "FOVEA_SERVICE_"}

// load makes the configuration: defaults, then the file (none for ""), then the environment, then the flags that
// were given. All mistakes are returned at once, each naming its key.
func load(file string, environment []string, flags *pflag.FlagSet) (Config, error) {
	known := keys(defaults())
	fromFile, unreadable := readFile(file, known)
	fromEnvironment, unknown := readEnvironment(environment, known)
	k := koanf.New(".")
	for _, layer := range []map[string]any{fromFile, fromEnvironment, readFlags(flags, known)} {
		if err := k.Load(confmap.Provider(layer, "."), nil); err != nil {
			return Config{}, fmt.Errorf("configuration: %w", err)
		}
	}
	c := defaults()
	undecodable := decode(k, &c)
	return c, errors.Join(unreadable, unknown, undecodable, c.Validate())
}

// readFile reads a YAML file. Its keys must be known.
func readFile(file string, known []key) (map[string]any, error) {
	if file == "" {
		return nil, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	var tree map[string]any
	if err := safeyaml.Unmarshal(data, &tree); err != nil {
		return nil, fmt.Errorf("configuration file %s: %w", file, err)
	}
	paths := make([]string, len(known))
	for i, k := range known {
		paths[i] = k.path
	}
	flat := map[string]any{}
	if err := flatten("", tree, paths, flat); err != nil {
		return flat, fmt.Errorf("configuration file %s: %w", file, err)
	}
	return flat, nil
}

// flatten turns a tree into paths, down to those that are known.
func flatten(prefix string, tree map[string]any, known []string, flat map[string]any) error {
	var mistakes []error
	for _, name := range slices.Sorted(maps.Keys(tree)) {
		path := prefix + name
		isSection := slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, path+".") })
		section, isTree := tree[name].(map[string]any)
		switch {
		case slices.Contains(known, path):
			flat[path] = asText(tree[name])
		case isSection && isTree:
			mistakes = append(mistakes, flatten(path+".", section, known, flat))
		case isSection && tree[name] != nil:
			mistakes = append(mistakes, fmt.Errorf("%s: is a section, not a value", path))
		case !isSection:
			mistakes = append(mistakes, fmt.Errorf("%s: unknown key", path))
		}
	}
	return errors.Join(mistakes...)
}

// asText writes a single value as the environment and flags would, so that all three are read alike.
func asText(value any) any {
	switch value.(type) {
	case nil, map[string]any, []any:
		return value
	}
	return fmt.Sprint(value)
}

// readEnvironment takes the variables of the keys; one that is set but empty counts as not set.
func readEnvironment(environment []string, known []key) (map[string]any, error) {
	paths := make(map[string]string, len(known))
	for _, k := range known {
		paths[k.variable()] = k.path
	}
	flat := map[string]any{}
	var mistakes []error
	for _, pair := range environment {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(notKeys, name) ||
			slices.ContainsFunc(notKeyPrefixes, func(p string) bool { return strings.HasPrefix(name, p) }) {
			continue
		}
		path, ok := paths[name]
		switch {
		case !ok:
			mistakes = append(mistakes, fmt.Errorf("environment: %s is no key of the configuration", name))
		case value != "":
			flat[path] = value
		}
	}
	return flat, errors.Join(mistakes...)
}

// readFlags takes the flags that were given.
func readFlags(flags *pflag.FlagSet, known []key) map[string]any {
	flat := map[string]any{}
	for _, k := range known {
		if f := flags.Lookup(k.path); f != nil && f.Changed {
			flat[k.path] = f.Value.String()
		}
	}
	return flat
}

// addFlags makes a flag of each key. They are all strings, read like those of the environment.
func addFlags(flags *pflag.FlagSet) {
	for _, k := range keys(defaults()) {
		text := fmt.Sprint(k.value)
		if reflect.ValueOf(k.value).IsZero() {
			text = ""
		}
		flags.String(k.path, text, k.usage)
	}
}
