package api

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fovea/inference"
	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// params are the parameters of a request, from its query and its body. None may be given twice, except for lists.
type params struct {
	values   postprocess.Params
	tiles    inference.TileParams
	annotate string // png, jpeg; empty: the response is JSON
	given    []string
}

// setters set a parameter from text: a number as in JSON, an element of a list, or a word.
var setters = map[string]func(*params, string) *apierror.Error{
	"top_k": numeric("top_k", func(p *postprocess.Params, v float64) *apierror.Error {
		return whole("top_k", v, repository.MaxTopK, &p.TopK)
	}),
	"score_threshold": numeric("score_threshold", func(p *postprocess.Params, v float64) *apierror.Error {
		p.Score = &v
		return unit("score_threshold", v)
	}),
	"iou_threshold": numeric("iou_threshold", func(p *postprocess.Params, v float64) *apierror.Error {
		p.IoU = &v
		return unit("iou_threshold", v)
	}),
	"max_boxes": numeric("max_boxes", func(p *postprocess.Params, v float64) *apierror.Error {
		return whole("max_boxes", v, postprocess.MaxBoxes, &p.MaxBoxes)
	}),
	classesParameter: func(all *params, text string) *apierror.Error {
		p := &all.values
		switch {
		case text == "":
			return apierror.New(apierror.InvalidParameter, "classes is empty; give labels or numbers of classes")
		case len(p.Classes) == maxClasses || len(text) > maxClassesText:
			return apierror.New(apierror.InvalidParameter, "classes is too long; the limit is %d values of %d bytes", maxClasses, maxClassesText)
		}
		p.Classes = append(p.Classes, text)
		return nil
	},
	encodingParameter: func(p *params, text string) *apierror.Error {
		p.values.Encoding = text
		return word(encodingParameter, text, postprocess.Encodings()...)
	},
	annotateParameter: func(p *params, text string) *apierror.Error {
		p.annotate = text
		return word(annotateParameter, text, annotatePNG, annotateJPEG)
	},
	inference.TileParam:           tileText(inference.TileParam),
	inference.OverlapParam:        tileNumber(inference.OverlapParam),
	inference.MergeParam:          tileText(inference.MergeParam),
	inference.MergeMetricParam:    tileText(inference.MergeMetricParam),
	inference.MergeThresholdParam: tileNumber(inference.MergeThresholdParam),
	inference.WholeImageParam:     tileText(inference.WholeImageParam),
}

func tileText(name string) func(*params, string) *apierror.Error {
	return func(p *params, text string) *apierror.Error { return p.tiles.Set(name, text) }
}

func tileNumber(name string) func(*params, string) *apierror.Error {
	return func(p *params, text string) *apierror.Error {
		v, err := number(text)
		if err != nil {
			return p.tiles.Set(name, text) // which says what is wrong
		}
		return p.tiles.Set(name, v)
	}
}

// classesParameter is the parameter that is a list, and the others are words.
const (
	classesParameter  = "classes"
	encodingParameter = "encoding"
	annotateParameter = "annotate"
)

const (
	maxClasses     = 1000 // values of classes
	maxClassesText = 4096 // bytes of one, which may have several classes
)

// numeric makes a setter of a number.
func numeric(name string, set func(*postprocess.Params, float64) *apierror.Error) func(*params, string) *apierror.Error {
	return func(p *params, text string) *apierror.Error {
		v, err := number(text)
		if err != nil {
			return apierror.New(apierror.InvalidParameter, "%s is not a number: %s", name, apierror.Quote(text))
		}
		return set(&p.values, v)
	}
}

func whole(name string, v float64, limit int, to *int) *apierror.Error {
	if v >= 1 && v <= float64(limit) && v == float64(int(v)) {
		*to = int(v)
		return nil
	}
	return apierror.New(apierror.InvalidParameter, "%s must be a whole number from 1 to %d", name, limit)
}

func unit(name string, v float64) *apierror.Error {
	if v >= 0 && v <= 1 {
		return nil
	}
	return apierror.New(apierror.InvalidParameter, "%s must be a number from 0 to 1", name)
}

// word checks a word.
func word(name, text string, allowed ...string) *apierror.Error {
	if slices.Contains(allowed, text) {
		return nil
	}
	return apierror.New(apierror.InvalidParameter, "%s is %s; allowed: %s", name, apierror.Quote(text), strings.Join(allowed, ", "))
}

func parameterNames() string { return names(setters) }

func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }

// set sets one parameter, or adds to a list.
func (p *params) set(name, text string) error {
	setter, ok := setters[name]
	if !ok {
		return apierror.New(apierror.InvalidParameter, "unknown parameter %s; allowed: %s", apierror.Quote(name), parameterNames())
	}
	if name != classesParameter && slices.Contains(p.given, name) {
		return apierror.New(apierror.InvalidParameter, "parameter %s is given twice", name)
	}
	if err := setter(p, text); err != nil {
		return err
	}
	p.given = append(p.given, name)
	return nil
}

// query sets the parameters of a URL query.
func (p *params) query(raw string) error {
	values, err := url.ParseQuery(raw)
	if err != nil {
		return apierror.Wrap(apierror.InvalidParameter, err, "the query cannot be parsed; allowed: %s", parameterNames())
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		for _, text := range values[name] {
			if err := p.set(name, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// number parses a number as in JSON, which unlike strconv's is never hexadecimal, infinite or NaN.
func number(text string) (float64, error) {
	var n json.Number
	if len(text) > 64 || text == "" || text[0] == '"' || text == "null" {
		return 0, strconv.ErrSyntax
	}
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return 0, err
	}
	return n.Float64()
}
