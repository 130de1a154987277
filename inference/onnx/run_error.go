package onnx

import (
	"regexp"
	"strings"
)

// RunError is a run in which a node of the model reported an error, such as a shape that does not fit.
type RunError struct {
	Op     string // the node's operator, such as Reshape
	Node   string // its name
	Reason string // what it reports
	Cause  error  // ONNX Runtime's message
}

// Error returns ONNX Runtime's message.
func (e *RunError) Error() string { return e.Cause.Error() }

// Unwrap returns the cause.
func (e *RunError) Unwrap() error { return e.Cause }

// nodeFailure matches ONNX Runtime 1.30's message for a node that fails (sequential_executor.cc): "Non-zero status code returned
// while running Reshape node. Name:'a/b' Status Message: …". The status may begin with the place in ONNX Runtime's source and
// the condition there.
var nodeFailure = regexp.MustCompile(`Non-zero status code returned while running (\S+) node\. Name:'([^']*)' Status Message: (?:\S+:\d+ \S.*?\) )?(?:\S.*? was false\. )?([\s\S]*)`)

// runError makes a *RunError of the error of a run if a node reported it.
func runError(err error) error {
	match := nodeFailure.FindStringSubmatch(err.Error())
	if match == nil {
		return err
	}
	return &RunError{Op: match[1], Node: match[2], Reason: strings.Join(strings.Fields(match[3]), " "), Cause: err}
}
