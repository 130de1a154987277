package main

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"fovea/inference"

	"github.com/go-viper/mapstructure/v2"
	"github.com/knadh/koanf/v2"
)

// decode reads values, text but for lists, into a configuration. All mistakes are returned, each naming its key.
func decode(k *koanf.Koanf, c *Config) error {
	return readable(k.UnmarshalWithConf("", c, koanf.UnmarshalConf{DecoderConfig: &mapstructure.DecoderConfig{
		TagName: "yaml", WeaklyTypedInput: true, ErrorUnused: true, ZeroFields: true, DecodeHook: fromText,
	}}))
}

// readable has the decoder's mistakes speak of keys and values instead of Go's types.
func readable(err error) error {
	var several interface{ Unwrap() []error }
	var one *mapstructure.DecodeError
	switch {
	case errors.As(err, &several):
		var mistakes []error
		for _, mistake := range several.Unwrap() {
			mistakes = append(mistakes, readable(mistake))
		}
		return errors.Join(mistakes...)
	case errors.As(err, &one):
		return fmt.Errorf("%s: %s", one.Name(), inWords(one.Unwrap()))
	}
	return err
}

func inWords(err error) string {
	var text *mapstructure.ParseError
	var kind *mapstructure.UnconvertibleTypeError
	switch {
	case errors.As(err, &text) && text.Expected.Kind() == reflect.Bool:
		return fmt.Sprintf("%q is neither true nor false", text.Value)
	case errors.As(err, &text) && text.Expected.Kind() == reflect.Float64:
		return fmt.Sprintf("%q is no number", text.Value)
	case errors.As(err, &text):
		return fmt.Sprintf("%q is no whole number", text.Value)
	case errors.As(err, &kind):
		return "one value is wanted here, not a list or a section"
	}
	return err.Error()
}

// fromText reads the text of what is neither text nor a number: durations and models.
func fromText(_, to reflect.Type, data any) (any, error) {
	text, ok := data.(string)
	if !ok {
		return data, nil
	}
	switch to {
	case reflect.TypeFor[time.Duration]():
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no duration; write it as 500ms, 10s or 1m30s", text)
		}
		return d, nil
	case reflect.TypeFor[inference.ModelConfig]():
		return modelFromText(text)
	case reflect.TypeFor[[]inference.ModelConfig]():
		return strings.Split(text, ","), nil
	}
	return data, nil
}

// modelFromText reads NAME or NAME:required.
func modelFromText(text string) (inference.ModelConfig, error) {
	name, option, has := strings.Cut(strings.TrimSpace(text), ":")
	if has && option != "required" {
		return inference.ModelConfig{}, fmt.Errorf("%q is neither NAME nor NAME:required", text)
	}
	return inference.ModelConfig{Name: name, Required: has}, nil
}
