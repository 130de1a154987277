package api

import (
	"encoding/json"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"fovea/internal/apierror"
	"fovea/internal/repository"
	"fovea/postprocess"
)

// params are the parameters of a request, from its query and its body. None may be given twice.
type params struct {
	values postprocess.Params
	given  []string
}

var setters = map[string]func(*postprocess.Params, float64) *apierror.Error{
	"top_k": func(p *postprocess.Params, v float64) *apierror.Error {
		if v < 1 || v > repository.MaxTopK || v != float64(int(v)) {
			return apierror.New(apierror.InvalidParameter, "top_k must be a whole number from 1 to %d", repository.MaxTopK)
		}
		p.TopK = int(v)
		return nil
	},
	"score_threshold": func(p *postprocess.Params, v float64) *apierror.Error {
		p.Score = &v
		return unit("score_threshold", v)
	},
	"iou_threshold": func(p *postprocess.Params, v float64) *apierror.Error {
		p.IoU = &v
		return unit("iou_threshold", v)
	},
}

func unit(name string, v float64) *apierror.Error {
	if v >= 0 && v <= 1 {
		return nil
	}
	return apierror.New(apierror.InvalidParameter, "%s must be a number from 0 to 1", name)
}

func parameterNames() string { return names(setters) }

func names[V any](m map[string]V) string { return strings.Join(slices.Sorted(maps.Keys(m)), ", ") }

// set sets one parameter. text is a number as in JSON.
func (p *params) set(name, text string) error {
	setter, ok := setters[name]
	if !ok {
		return apierror.New(apierror.InvalidParameter, "unknown parameter %s; allowed: %s", quote(name), parameterNames())
	}
	if slices.Contains(p.given, name) {
		return apierror.New(apierror.InvalidParameter, "parameter %s is given twice", name)
	}
	v, err := number(text)
	if err != nil {
		return apierror.New(apierror.InvalidParameter, "%s is not a number: %s", name, quote(text))
	}
	if err := setter(&p.values, v); err != nil {
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

// quote quotes a client's text, truncated and without control characters.
func quote(s string) string {
	const maxLength = 64
	if len(s) > maxLength {
		return strconv.QuoteToASCII(s[:maxLength]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
