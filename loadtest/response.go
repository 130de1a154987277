package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
)

// Kinds of failures other than an HTTP status. Those of the transport are in transport.go.
const (
	kindNoJSON  = "response is not JSON"
	kindCount   = "wrong number of predictions"
	kindClass   = "wrong class"
	kindNoClass = "no class in the response"
	kindNothing = "no prediction and no error"
	kindImage   = "image: " // followed by the image's error code
)

// checker checks responses.
type checker struct {
	fovea  bool
	v2     *v2Checker // nil: not the Open Inference Protocol
	images []Image
	grpc   bool
	expect Expectation
}

// foveaResponse holds the fields that every response of Fovea must have.
type foveaResponse struct {
	Model, Version, Device string
	Predictions            []struct {
		Top, Boxes  json.RawMessage
		Error, Code string
	}
}

// failures returns the kind of failure of each image that failed. Status 0 is a transport failure, of that kind; so is any status of a
// failed call of gRPC.
func (c checker) failures(b body, status int, kind string, response []byte) []string {
	if status < 200 || status > 299 {
		if status != 0 && !c.grpc {
			kind = statusKind(status, response)
		}
		return slices.Repeat([]string{kind}, len(b.images))
	}
	var failed []string
	switch {
	case c.v2 != nil:
		failed = c.v2.failures(len(b.images), response)
	case c.fovea:
		failed = foveaFailures(len(b.images), response)
	}
	if len(failed) > 0 || c.expect.Classes == nil {
		return failed
	}
	return c.wrongClasses(b, response)
}

// statusKind names a failure by its HTTP status and its error code, if the response has one.
func statusKind(status int, response []byte) string {
	var e struct{ Code string }
	if json.Unmarshal(response, &e) == nil && e.Code != "" && len(e.Code) <= 64 {
		return fmt.Sprintf("%d %s", status, e.Code)
	}
	return fmt.Sprintf("HTTP %d", status)
}

func foveaFailures(images int, response []byte) []string {
	var r foveaResponse
	if err := json.Unmarshal(response, &r); err != nil {
		return slices.Repeat([]string{kindNoJSON}, images)
	}
	if len(r.Predictions) != images {
		return slices.Repeat([]string{kindCount}, images)
	}
	var failed []string
	for _, p := range r.Predictions {
		switch {
		case p.Code != "" || p.Error != "":
			failed = append(failed, kindImage+p.Code)
		case p.Top == nil && p.Boxes == nil:
			failed = append(failed, kindNothing)
		}
	}
	return failed
}

// wrongClasses compares the classes in a response with the expected ones.
func (c checker) wrongClasses(b body, response []byte) []string {
	if !slices.ContainsFunc(b.images, func(i int) bool { return c.expect.Classes[c.images[i].Name] != "" }) {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(response))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return slices.Repeat([]string{kindNoJSON}, len(b.images))
	}
	var failed []string
	for i, img := range b.images {
		want, ok := c.expect.Classes[c.images[img].Name]
		if !ok {
			continue
		}
		switch found, equal := lookUp(value, c.expect.path(i), want); {
		case !found:
			failed = append(failed, kindNoClass)
		case !equal:
			failed = append(failed, kindClass)
		}
	}
	return failed
}
