package onnx

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// explanations put ONNX Runtime's errors about a model into words that name the cause and what to do. They are tried
// in order; the groups of the expression and the version of ONNX Runtime are given to say.
var explanations = []struct {
	when *regexp.Regexp
	say  func(m []string, version string) string
}{
	{regexp.MustCompile(`Unsupported model IR version: (\d+), max supported IR version: (\d+)`), func(m []string, version string) string {
		return fmt.Sprintf("the file is of ONNX IR version %s, and ONNX Runtime %s reads up to %s; export the model with an older onnx package", m[1], version, m[2])
	}},
	{regexp.MustCompile(`Opset (\d+) is under development[\s\S]*for domain (\S+) is till opset (\d+)`), func(m []string, version string) string {
		return fmt.Sprintf("the model is of opset %s of the domain %s, and ONNX Runtime %s supports up to opset %s; export it with that opset or an older one", m[1], m[2], version, m[3])
	}},
	{regexp.MustCompile(`Fatal error: (\S*):(\S+)\(-1\) is not a registered function/op`), func(m []string, version string) string {
		return unregistered(m[2], m[1], version)
	}},
	{regexp.MustCompile(`In Node, \(.*, (\S+), "\S*", -1\)[\s\S]*No opset import for domain '(.*)'`), func(m []string, _ string) string {
		return fmt.Sprintf("operator %q is of the domain %q, of which the file imports no opset; export the model again", m[1], m[2])
	}},
	{regexp.MustCompile(`In Node, \(.*, \S+, "(\S+)", -1\)[\s\S]*No Op registered for (\S+) with domain_version of \d+`), func(m []string, version string) string {
		return unregistered(m[2], m[1], version)
	}},
	{regexp.MustCompile(`No Op registered for (\S+) with domain_version of (\d+)`), func(m []string, _ string) string {
		return fmt.Sprintf("operator %q is not registered: opset %s of ONNX, which the file imports, has no such operator; it may be one of a later opset, or of a library of its own", m[1], m[2])
	}},
	{regexp.MustCompile(`Could not find an implementation for (\S+)\((\d+)\) node`), func(m []string, version string) string {
		return fmt.Sprintf("ONNX Runtime %s has no implementation of operator %q (of opset %s) for the element types that the model gives it; export the model in float32", version, m[1], m[2])
	}},
	{regexp.MustCompile(`Protobuf parsing failed`), func([]string, string) string {
		return "the file is damaged: its protobuf message cannot be read; copy it again"
	}},
}

func unregistered(operator, domain, version string) string {
	return fmt.Sprintf("operator %q of the domain %q is not registered: ONNX Runtime %s has none of that name, and libraries of custom operators are not loaded; export the model with operators of ONNX", operator, domain, version)
}

// explain says in words of its own what is known of an error of ONNX Runtime about a model, and of others leaves out
// what only repeats the file's name. Errors of a device stay as they are.
func explain(err error) error {
	if err == nil || errors.As(err, new(*DeviceError)) {
		return err
	}
	text := err.Error()
	for _, e := range explanations {
		if m := e.when.FindStringSubmatch(text); m != nil {
			return errors.New(e.say(m, Version()))
		}
	}
	short := loadFailed.ReplaceAllString(strings.TrimPrefix(text, "Error loading temporary session: "), "")
	if short == text {
		return err
	}
	return errors.New(short)
}

var loadFailed = regexp.MustCompile(`^Load model from .* failed:`)
