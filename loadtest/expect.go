package loadtest

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"
)

// Expectation describes correct responses.
type Expectation struct {
	// Classes are the expected classes by image file name. Other images may have any class.
	Classes map[string]string
	// At is the path of the class in a JSON response: keys and indices separated by dots, "*" for any element of a list,
	// "{i}" for the image's index in the request. Empty: the path in Fovea's responses.
	At string `yaml:"expect-at" help:"path of the class in a response, such as predictions.{i}.top.0.class; empty: Fovea's"`
}

const (
	classificationAt = "predictions.{i}.top.0.class"
	detectionAt      = "predictions.{i}.boxes.*.class"
)

// ReadExpected reads lines of the form "coffee.jpg,967". Lines starting with # are comments. All errors are reported
// together.
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
			errs = append(errs, fmt.Errorf("expect: line %d does not have the form image.jpg,class", number))
			continue
		}
		if _, duplicate := classes[record[0]]; duplicate {
			errs = append(errs, fmt.Errorf("expect: line %d repeats %s", number, record[0]))
		}
		classes[record[0]] = record[1]
	}
	if len(classes) == 0 && len(errs) == 0 {
		errs = append(errs, errors.New("expect: no lines of the form image.jpg,class"))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return classes, nil
}

// check reports images that are expected but not sent: their expectation could never fail.
func (e Expectation) check(images []Image) error {
	missing := maps.Clone(e.Classes)
	for _, img := range images {
		delete(missing, img.Name)
	}
	var errs []error
	for name := range missing {
		errs = append(errs, fmt.Errorf("expect: %s is not among the images", name))
	}
	return errors.Join(errs...)
}

// lookUp reports whether there is a number, string or boolean at a path and whether it equals want, which is written as in
// JSON, but without quotes. Numbers are json.Number.
func lookUp(response any, path []string, want string) (found, equal bool) {
	if len(path) == 0 {
		switch response.(type) {
		case string, bool, json.Number:
			return true, fmt.Sprint(response) == want
		}
		return false, false
	}
	switch v := response.(type) {
	case map[string]any:
		return lookUp(v[path[0]], path[1:], want)
	case []any:
		if path[0] == "*" {
			for _, child := range v {
				if _, equal := lookUp(child, path[1:], want); equal {
					return true, true
				}
			}
			return true, false // an empty list is a valid result: nothing was detected
		}
		i, err := strconv.Atoi(path[0])
		if err != nil || i < 0 || i >= len(v) {
			return false, false
		}
		return lookUp(v[i], path[1:], want)
	}
	return false, false
}

// path returns the path of the class of the request's ith image.
func (e Expectation) path(i int) []string {
	return strings.Split(strings.ReplaceAll(e.At, "{i}", strconv.Itoa(i)), ".")
}
