package onnx

import (
	"errors"
	"regexp"
	"strings"
)

// explanations translate ONNX Runtime's errors about a model into the cause and the remedy. They are tried in order. The
// message contains groups of the expression, and VERSION for ONNX Runtime's version.
var explanations = []struct {
	pattern *regexp.Regexp
	message string
}{
	{regexp.MustCompile(`Unsupported model IR version: (\d+), max supported IR version: (\d+)`),
		`the file has ONNX IR version $1, but ONNX Runtime VERSION supports at most $2; export the model with an older onnx package`},
	{regexp.MustCompile(`Opset (\d+) is under development[\s\S]*for domain (\S+) is till opset (\d+)`),
		`the model uses opset $1 of domain $2, but ONNX Runtime VERSION supports at most opset $3; export it with that opset or an older one`},
	{regexp.MustCompile(`Fatal error: (?P<domain>\S*):(?P<operator>\S+)\(-1\) is not a registered function/op`), unregistered},
	{regexp.MustCompile(`In Node, \(.*, (\S+), "\S*", -1\)[\s\S]*No opset import for domain '(.*)'`),
		`operator "$1" belongs to domain "$2", but the file imports no opset of that domain; export the model again`},
	{regexp.MustCompile(`In Node, \(.*, \S+, "(?P<domain>\S+)", -1\)[\s\S]*No Op registered for (?P<operator>\S+) with domain_version of \d+`), unregistered},
	{regexp.MustCompile(`No Op registered for (\S+) with domain_version of (\d+)`),
		`operator "$1" is not registered: it does not exist in ONNX opset $2, which the file imports; it may belong to a later opset or to a custom operator library`},
	{regexp.MustCompile(`Could not find an implementation for (\S+)\((\d+)\) node`),
		`ONNX Runtime VERSION has no implementation of operator "$1" (opset $2) for the model's element types; export the model in float32`},
	{regexp.MustCompile(`Protobuf parsing failed`), `the file is damaged: its protobuf message cannot be parsed; copy it again`},
}

const unregistered = `operator "$operator" of domain "$domain" is not registered: ONNX Runtime VERSION does not have it, and custom operator libraries are not loaded; export the model with standard ONNX operators`

// explain replaces an ONNX Runtime error about a model with its explanation, if there is one; otherwise it removes the
// prefix that repeats the file's name. Device errors are unchanged.
func explain(err error) error {
	if err == nil || errors.As(err, new(*DeviceError)) {
		return err
	}
	text := err.Error()
	for _, e := range explanations {
		if m := e.pattern.FindStringSubmatchIndex(text); m != nil {
			message := strings.ReplaceAll(e.message, "VERSION", Version())
			return errors.New(string(e.pattern.ExpandString(nil, message, text, m)))
		}
	}
	short := loadFailed.ReplaceAllString(strings.TrimPrefix(text, "Error loading temporary session: "), "")
	if short == text {
		return err
	}
	return errors.New(short)
}

var loadFailed = regexp.MustCompile(`^Load model from .* failed:`)
