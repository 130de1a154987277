package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Kinds of failures that are no HTTP status. Those of the transport are in transport.go.
const (
	kindNoJSON    = "answer is not JSON"
	kindCount     = "wrong number of predictions"
	kindClass     = "wrong class"
	kindNoClass   = "no class in the answer"
	kindNothing   = "no prediction and no error"
	kindPerAnswer = "image: "
)

// checker judges answers.
type checker struct {
	fovea  bool
	images []Image
	expect Expectation
}

// foveaAnswer is what every answer of Fovea must have.
type foveaAnswer struct {
	Model, Version, Device string
	Predictions            []struct {
		Top, Boxes  json.RawMessage
		Error, Code string
	}
}

// failures gives the kind of failure of every image that was not answered well, none if all were.
func (c checker) failures(b body, status int, kind string, answer []byte) []string {
	if status < 200 || status > 299 {
		if status != 0 {
			kind = statusKind(status, answer)
		}
		return repeat(kind, len(b.images))
	}
	var failed []string
	if c.fovea {
		failed = foveaFailures(len(b.images), answer)
	}
	if len(failed) > 0 || c.expect.Classes == nil {
		return failed
	}
	return c.wrong(b, answer)
}

// statusKind names a failure by its HTTP status and, where the answer has one, by its code.
func statusKind(status int, answer []byte) string {
	var e struct{ Code string }
	if json.Unmarshal(answer, &e) == nil && e.Code != "" && len(e.Code) <= 64 {
		return fmt.Sprintf("%d %s", status, e.Code)
	}
	return fmt.Sprintf("HTTP %d", status)
}

func foveaFailures(images int, answer []byte) []string {
	var a foveaAnswer
	if err := json.Unmarshal(answer, &a); err != nil {
		return repeat(kindNoJSON, images)
	}
	if len(a.Predictions) != images {
		return repeat(kindCount, images)
	}
	var failed []string
	for _, p := range a.Predictions {
		switch {
		case p.Code != "" || p.Error != "":
			failed = append(failed, kindPerAnswer+p.Code)
		case p.Top == nil && p.Boxes == nil:
			failed = append(failed, kindNothing)
		}
	}
	return failed
}

// wrong compares the classes of an answer with those expected.
func (c checker) wrong(b body, answer []byte) []string {
	if !slices.ContainsFunc(b.images, func(i int) bool { return c.expect.Classes[c.images[i].Name] != "" }) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(answer))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return repeat(kindNoJSON, len(b.images))
	}
	var failed []string
	for place, img := range b.images {
		want, ok := c.expect.Classes[c.images[img].Name]
		if !ok {
			continue
		}
		switch found, is := at(value, c.expect.path(place), want); {
		case !found:
			failed = append(failed, kindNoClass)
		case !is:
			failed = append(failed, kindClass)
		}
	}
	return failed
}

func repeat(kind string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = kind
	}
	return list
}
