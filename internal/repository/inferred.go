package repository

import (
	"cmp"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Inferred is a definition that was derived from an ONNX file and the files next to it, for lack of a model.yaml.
type Inferred struct {
	Definition Definition
	Exporter   string   // what wrote the file, as far as it is known, such as "Ultralytics"
	Origins    []Origin // where each value that is not a default comes from, in the order of model.yaml
}

// Origin says where a value of an inferred definition comes from.
type Origin struct {
	Key     string // such as input.scale
	Value   string // as in model.yaml
	From    string // such as "metadata imgsz", "config.json id2label", "shape of output0"
	Assumed bool   // nothing says so; it is what such exports usually have
}

// Assumptions lists the values that nothing in the files says.
func (i *Inferred) Assumptions() (list []Origin) {
	for _, o := range i.Origins {
		if o.Assumed {
			list = append(list, o)
		}
	}
	return list
}

// Knows reports whether a key has a value that the exporter is known to use, rather than one that is assumed or set. It is false for a nil
// Inferred.
func (i *Inferred) Knows(key string) bool {
	return i != nil && slices.ContainsFunc(i.Origins, func(o Origin) bool {
		return o.Key == key && !o.Assumed && o.From != OriginSet
	})
}

// OriginSet is the origin of a value that set has.
const OriginSet = "set"

// Question is what cannot be known about a model, and must be said.
type Question struct {
	Key        string   // of model.yaml
	Reason     string   // why it is open
	Candidates []string // values that are possible, the likeliest first; none if there are too many
}

// UnknownError is the error of a model whose definition cannot be inferred.
type UnknownError struct{ Questions []Question }

// Error lists the questions, each with the line to write.
func (e *UnknownError) Error() string {
	lines := make([]string, len(e.Questions))
	for i, q := range e.Questions {
		lines[i] = fmt.Sprintf("%s: %s; say %s=%s", q.Key, q.Reason, q.Key, cmp.Or(strings.Join(q.Candidates, " or "), "VALUE"))
	}
	return strings.Join(lines, "\n")
}

// InferFunc derives a definition from the structure of an ONNX file and the files next to it. set are keys of model.yaml with
// values that take precedence over everything. The error is an *UnknownError if more has to be said, or joins all that is wrong.
type InferFunc func(graph *Graph, sidecars fs.FS, set map[string]string) (*Inferred, error)
