package onnx

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// explanations translate ONNX Runtime's errors about a model into the cause and the remedy. They are tried in order;
// message gets the groups of the expression and ONNX Runtime's version.
var explanations = []struct {
	pattern *regexp.Regexp
	message func(m []string, version string) string
}{
	{regexp.MustCompile(`Unsupported model IR version: (\d+), max supported IR version: (\d+)`), func(m []string, version string) string {
		return fmt.Sprintf("the file has ONNX IR version %s, but ONNX Runtime %s supports at most %s; export the model with an older onnx package", m[1], version, m[2])
	}},
	{regexp.MustCompile(`Opset (\d+) is under development[\s\S]*for domain (\S+) is till opset (\d+)`), func(m []string, version string) string {
		return fmt.Sprintf("the model uses opset %s of domain %s, but ONNX Runtime %s supports at most opset %s; export it with that opset or an older one", m[1], m[2], version, m[3])
	}},
	{regexp.MustCompile(`Fatal error: (\S*):(\S+)\(-1\) is not a registered function/op`), func(m []string, version string) string {
		return unregistered(m[2], m[1], version)
	}},
	{regexp.MustCompile(`In Node, \(.*, (\S+), "\S*", -1\)[\s\S]*No opset import for domain '(.*)'`), func(m []string, _ string) string {
		return fmt.Sprintf("operator %q belongs to domain %q, but the file imports no opset of that domain; export the model again", m[1], m[2])
	}},
	{regexp.MustCompile(`In Node, \(.*, \S+, "(\S+)", -1\)[\s\S]*No Op registered for (\S+) with domain_version of \d+`), func(m []string, version string) string {
		return unregistered(m[2], m[1], version)
	}},
	{regexp.MustCompile(`No Op registered for (\S+) with domain_version of (\d+)`), func(m []string, _ string) string {
		return fmt.Sprintf("operator %q is not registered: it does not exist in ONNX opset %s, which the file imports; it may belong to a later opset or to a custom operator library", m[1], m[2])
	}},
	{regexp.MustCompile(`Could not find an implementation for (\S+)\((\d+)\) node`), func(m []string, version string) string {
		return fmt.Sprintf("ONNX Runtime %s has no implementation of operator %q (opset %s) for the model's element types; export the model in float32", version, m[1], m[2])
	}},
	{regexp.MustCompile(`Protobuf parsing failed`), func([]string, string) string {
		return "the file is damaged: its protobuf message cannot be parsed; copy it again"
	}},
}

func unregistered(operator, domain, version string) string {
	return fmt.Sprintf("operator %q of domain %q is not registered: ONNX Runtime %s does not have it, and custom operator libraries are not loaded; export the model with standard ONNX operators", operator, domain, version)
}

// explain replaces an ONNX Runtime error about a model with its explanation, if there is one; otherwise it removes the
// prefix that repeats the file's name. Device errors are unchanged.
func explain(err error) error {
	if err == nil || errors.As(err, new(*DeviceError)) {
		return err
	}
	text := err.Error()
	for _, e := range explanations {
		if m := e.pattern.FindStringSubmatch(text); m != nil {
			return errors.New(e.message(m, Version()))
		}
	}
	short := loadFailed.ReplaceAllString(strings.TrimPrefix(text, "Error loading temporary session: "), "")
	if short == text {
		return err
	}
	return errors.New(short)
}

var loadFailed = regexp.MustCompile(`^Load model from .* failed:`)
