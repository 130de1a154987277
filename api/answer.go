package api

import (
	"time"

	"fovea/inference"
	"fovea/internal/apierror"
)

// answer is the body of a request for predictions that was answered, wholly or in part.
type answer struct {
	Model       string  `json:"model"`
	Version     string  `json:"version"`
	Device      string  `json:"device"`
	Predictions []entry `json:"predictions"` // in the order of the request
	Timing      timing  `json:"timing"`
}

// entry is one image's answer: the postprocess.Prediction, or an apierror.Body that says what is wrong with the image.
type entry any

// timing is in milliseconds. With several images, each stage is that of the image it took longest for; total
// is from the request's headers to its answer and so holds the arrival of the body.
type timing struct {
	Queue       millis `json:"queue"`
	Decode      millis `json:"decode"`
	Preprocess  millis `json:"preprocess"`
	Infer       millis `json:"infer"`
	Postprocess millis `json:"postprocess"`
	Total       millis `json:"total"`
}

// millis is a time in milliseconds with three decimals.
type millis float64

func millisOf(d time.Duration) millis { return millis(float64(d.Microseconds()) / 1000) }

func (t *timing) stretch(by inference.Timing) {
	t.Queue = max(t.Queue, millisOf(by.Queue))
	t.Decode = max(t.Decode, millisOf(by.Decode))
	t.Preprocess = max(t.Preprocess, millisOf(by.Preprocess))
	t.Infer = max(t.Infer, millisOf(by.Infer))
	t.Postprocess = max(t.Postprocess, millisOf(by.Postprocess))
}

// answerOf gathers the answers of at least one answered image.
func answerOf(x *exchange, answers []answered) answer {
	a := answer{Predictions: entries(answers)}
	for _, one := range answers {
		if r := one.response; r != nil {
			a.Model, a.Version, a.Device = r.Model, r.Version, r.Device
			a.Timing.stretch(r.Timing)
		}
	}
	a.Timing.Total = millisOf(time.Since(x.start))
	x.version = a.Version
	return a
}

func entries(answers []answered) []entry {
	list := make([]entry, len(answers))
	for i, a := range answers {
		if a.apiErr != nil {
			list[i] = apierror.Body{Error: a.apiErr.Message, Code: a.apiErr.Code}
		} else {
			list[i] = a.response.Prediction
		}
	}
	return list
}
