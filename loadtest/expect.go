package loadtest

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Expectation says what answers must hold.
type Expectation struct {
	// Classes are the right ones, by the image's file name. An image that is not in it may be answered anyhow.
	Classes map[string]string
	// At is where an answer in JSON holds the class: keys and indices with dots between, "*" for any element of a list,
	// "{i}" for the image's place in the request. Empty: where Fovea's answer holds it.
	At string `yaml:"expect-at" help:"where a response holds the class, such as predictions.{i}.top.0.class; empty: Fovea's"`
}

const (
	classificationAt = "predictions.{i}.top.0.class"
	detectionAt      = "predictions.{i}.boxes.*.class"
)

// ReadExpected reads lines of the form "coffee.jpg,967". Lines that begin with # are comments. All mistakes are told at
// once.
func ReadExpected(r io.Reader) (map[string]string, error) {
	lines := csv.NewReader(r)
	lines.Comment = '#'
	lines.FieldsPerRecord = -1
	lines.TrimLeadingSpace = true
	classes := map[string]string{}
	var errs []error
	for {
		record, err := lines.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("expect: %w", err))
			break
		}
		number, _ := lines.FieldPos(0)
		if len(record) != 2 || record[0] == "" || record[1] == "" {
			errs = append(errs, fmt.Errorf("expect: line %d is not of the form image.jpg,class", number))
			continue
		}
		if _, twice := classes[record[0]]; twice {
			errs = append(errs, fmt.Errorf("expect: line %d names %s a second time", number, record[0]))
		}
		classes[record[0]] = record[1]
	}
	if len(classes) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("expect: there are no lines of the form image.jpg,class"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return classes, nil
}

// check tells images that are expected and not sent, which would make an expectation that nothing can miss.
func (e Expectation) check(images []Image) error {
	if e.Classes == nil {
		return nil
	}
	sent := map[string]bool{}
	for _, p := range images {
		sent[p.Name] = true
	}
	var errs []error
	for name := range e.Classes {
		if !sent[name] {
			errs = append(errs, fmt.Errorf("expect: %s is not among the images", name))
		}
	}
	return errors.Join(errs...)
}

// at tells whether the value at a path is want. Found is false if there is nothing at the path.
func at(answer any, path []string, want string) (found, is bool) {
	if len(path) == 0 {
		text, scalar := scalarText(answer)
		return scalar, scalar && text == want
	}
	switch v := answer.(type) {
	case map[string]any:
		child, ok := v[path[0]]
		if !ok {
			return false, false
		}
		return at(child, path[1:], want)
	case []any:
		if path[0] == "*" {
			for _, child := range v {
				if _, is := at(child, path[1:], want); is {
					return true, true
				}
			}
			return true, false // an empty list is an answer: nothing was seen
		}
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(v) {
			return false, false
		}
		return at(v[i], path[1:], want)
	}
	return false, false
}

// scalarText is a number, text or truth value as it is written in JSON, without quotes. Numbers are json.Number.
func scalarText(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case bool:
		return strconv.FormatBool(v), true
	case fmt.Stringer:
		return v.String(), true
	}
	return "", false
}

// path is the way to the class of the image at a place in the request.
func (e Expectation) path(place int) []string {
	return strings.Split(strings.ReplaceAll(e.At, "{i}", strconv.Itoa(place)), ".")
}
