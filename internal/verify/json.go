package verify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// parseJSON reads any of the JSON formats. The first bytes are [ or {.
func parseJSON(data []byte, stem string, notes *cocoNotes) (*Expected, error) {
	values, err := jsonValues(data)
	if err != nil {
		return nil, err
	}
	if len(values) == 1 && data[0] == '[' {
		return parseList(values[0], stem, notes)
	}
	if len(values) > 1 { // JSON lines
		e := &Expected{}
		for i, value := range values {
			if err := e.addNamed(value); err != nil {
				return nil, fmt.Errorf("value %d: %w", i+1, err)
			}
		}
		return e, nil
	}
	return parseObject(values[0], stem)
}

// jsonValues splits concatenated JSON values.
func jsonValues(data []byte) (values []json.RawMessage, err error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	for {
		var value json.RawMessage
		switch err := decoder.Decode(&value); {
		case errors.Is(err, io.EOF):
			return values, nil
		case err != nil:
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		values = append(values, value)
	}
}

// probe has the keys that tell the formats of list elements and objects apart.
type probe struct {
	ImageID     json.RawMessage `json:"image_id"`
	CategoryID  json.RawMessage `json:"category_id"`
	Confidence  json.RawMessage `json:"confidence"`
	Predictions json.RawMessage `json:"predictions"`
	Annotations json.RawMessage `json:"annotations"`
	Categories  json.RawMessage `json:"categories"`
	Boxes       json.RawMessage `json:"boxes"`
	Top         json.RawMessage `json:"top"`
}

func parseList(data json.RawMessage, stem string, notes *cocoNotes) (*Expected, error) {
	var probes []probe
	if err := json.Unmarshal(data, &probes); err != nil {
		return nil, fmt.Errorf("is a list of other things than objects: %w; %s", err, allowedFormats)
	}
	switch {
	case len(probes) == 0 && notes == nil: // Ultralytics' JSON of an image without boxes
		e := &Expected{}
		e.answer(stem)
		return e, nil
	case len(probes) == 0:
		return &Expected{Format: cocoResults, Detection: true, Silent: true}, nil
	case probes[0].CategoryID != nil && probes[0].ImageID != nil:
		return parseCOCO(data, notes)
	case probes[0].Confidence != nil:
		return parseUltralytics(data, stem)
	case probes[0].Predictions != nil:
		e := &Expected{}
		var values []json.RawMessage
		if err := json.Unmarshal(data, &values); err != nil {
			return nil, err
		}
		for i, value := range values {
			if err := e.addNamed(value); err != nil {
				return nil, fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return e, nil
	}
	return nil, errors.New("is a list in an unknown format; " + allowedFormats)
}

func parseUltralytics(data json.RawMessage, stem string) (*Expected, error) {
	var objects []ultralyticsObject
	if err := json.Unmarshal(data, &objects); err != nil {
		return nil, err
	}
	e := &Expected{Format: ultralyticsJSON}
	a := e.answer(stem)
	for i := range objects {
		if err := objects[i].add(a); err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
	}
	if len(a.Boxes) > 0 && len(a.Classes) > 0 {
		return nil, errors.New("has objects with a box and others without one")
	}
	e.Detection, a.Unit = len(a.Boxes) > 0, inUnits(a.Boxes)
	return e, nil
}

// parseObject reads an object: a response of /predict, or such responses by the name of their image.
func parseObject(data json.RawMessage, stem string) (*Expected, error) {
	var p probe
	if err := json.Unmarshal(data, &p); err != nil {
		return nil, err
	}
	e := &Expected{}
	switch {
	case p.Annotations != nil || p.Categories != nil:
		return nil, errors.New("is COCO's annotation file: give it with --annotations, and the model's results with --expect")
	case p.Predictions != nil || p.Boxes != nil || p.Top != nil:
		return e, e.addResponse(stem, data)
	}
	var named map[string]json.RawMessage
	if err := json.Unmarshal(data, &named); err != nil {
		return nil, err
	}
	if len(named) == 0 {
		return nil, errors.New("is an empty object; " + allowedFormats)
	}
	for image, response := range named {
		if err := e.addResponse(image, response); err != nil {
			return nil, fmt.Errorf("%.80q: %w", image, err)
		}
	}
	return e, nil
}

// foveaJSON is the name of the format of responses to /predict.
const foveaJSON = "Fovea's JSON"

// response is a body of a response to /predict, or one of its predictions.
type response struct {
	Image       string      `json:"image"`
	File        string      `json:"file"`
	Predictions []response  `json:"predictions"`
	Error       string      `json:"error"`
	Top         *[]foveaBox `json:"top"`
	Boxes       *[]foveaBox `json:"boxes"`
	Width       int         `json:"width"`
	Height      int         `json:"height"`
}

type foveaBox struct {
	Class          *int
	Label          string
	Score          *float64
	X1, Y1, X2, Y2 float64
}

// addNamed adds a response that names its image in the key image or file.
func (e *Expected) addNamed(data json.RawMessage) error {
	var r response
	if err := json.Unmarshal(data, &r); err != nil {
		return err
	}
	name := r.Image
	if name == "" {
		name = r.File
	}
	if name == "" {
		return errors.New("a response among several must name its image in the key image")
	}
	return e.addResponse(name, data)
}

func (e *Expected) addResponse(image string, data json.RawMessage) error {
	var r response
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("is not a response of /predict: %w", err)
	}
	if len(r.Predictions) > 1 {
		return fmt.Errorf("has the predictions of %d images; want one response per image", len(r.Predictions))
	}
	if len(r.Predictions) == 1 {
		r = r.Predictions[0]
	}
	switch {
	case r.Error != "":
		return fmt.Errorf("is an error, not a prediction: %.200s", r.Error)
	case (r.Boxes == nil) == (r.Top == nil):
		return errors.New("is not a response of /predict: it must have either boxes or top")
	case e.Format != "" && e.Detection != (r.Boxes != nil):
		return errors.New("responses with boxes and with top are mixed")
	}
	e.Format, e.Detection = foveaJSON, r.Boxes != nil
	a := e.answer(image)
	a.Width, a.Height = r.Width, r.Height
	list := r.Top
	if e.Detection {
		list = r.Boxes
	}
	for i, b := range *list {
		c := Class{-1, b.Label, unknown}
		if b.Class == nil && b.Label == "" {
			return fmt.Errorf("[%d]: has neither class nor label", i)
		}
		if b.Class != nil {
			if *b.Class < 0 || *b.Class > maxClass {
				return fmt.Errorf("class %s is out of range", strconv.Itoa(*b.Class))
			}
			c.Number = *b.Class
		}
		if b.Score != nil {
			var err error
			if c.Score, err = probability(*b.Score); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		if e.Detection {
			a.Boxes = append(a.Boxes, Box{c, b.X1, b.Y1, b.X2, b.Y2})
		} else {
			a.Classes = append(a.Classes, c)
		}
	}
	return nil
}
