package api

import (
	"slices"
	"time"

	"fovea/inference"
	"fovea/inference/pipeline"
	"fovea/internal/apierror"
)

// predictResponse is the body of a response with at least one prediction.
type predictResponse struct {
	Model       string `json:"model"`
	Version     string `json:"version"`
	Device      string `json:"device"`
	Predictions []any  `json:"predictions"` // of each image, in the order of the request: a postprocess.Prediction, or an apierror.Body
	Timing      timing `json:"timing"`
}

// timing is in milliseconds. With several images, each stage is that of the slowest image; total is the time from the
// request's headers to the response, and so includes the arrival of the body.
type timing struct {
	Queue       float64 `json:"queue"`
	Decode      float64 `json:"decode"`
	Preprocess  float64 `json:"preprocess"`
	Infer       float64 `json:"infer"`
	Postprocess float64 `json:"postprocess"`
	Total       float64 `json:"total"`
	// Steps are those of a pipeline, in its order. The stages above are then sums over them, and decode is that of the image.
	Steps []stepTiming `json:"steps,omitempty"`
}

// stepTiming is the timing of a step of a pipeline. With several crops, each stage is that of the slowest one, and total is the time from the begin
// of the first to the end of the last.
type stepTiming struct {
	Name        string  `json:"name"`
	Images      int     `json:"images"` // that its model predicted
	Queue       float64 `json:"queue"`
	Crop        float64 `json:"crop"`
	Preprocess  float64 `json:"preprocess"`
	Infer       float64 `json:"infer"`
	Postprocess float64 `json:"postprocess"`
	Total       float64 `json:"total"`
}

// millis is a time in milliseconds with three decimals.
func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (t *timing) merge(other inference.Timing) {
	t.Queue = max(t.Queue, millis(other.Queue))
	t.Decode = max(t.Decode, millis(other.Decode))
	t.Preprocess = max(t.Preprocess, millis(other.Preprocess))
	t.Infer = max(t.Infer, millis(other.Infer))
	t.Postprocess = max(t.Postprocess, millis(other.Postprocess))
}

// mergeSteps does the same with the steps of an image.
func (t *timing) mergeSteps(steps []pipeline.StepTiming) {
	for _, other := range steps {
		i := slices.IndexFunc(t.Steps, func(s stepTiming) bool { return s.Name == other.Name })
		if i < 0 {
			i = len(t.Steps)
			t.Steps = append(t.Steps, stepTiming{Name: other.Name})
		}
		s := &t.Steps[i]
		s.Images += other.Images
		s.Queue, s.Crop = max(s.Queue, millis(other.Queue)), max(s.Crop, millis(other.Crop))
		s.Preprocess, s.Infer = max(s.Preprocess, millis(other.Preprocess)), max(s.Infer, millis(other.Infer))
		s.Postprocess, s.Total = max(s.Postprocess, millis(other.Postprocess)), max(s.Total, millis(other.Total))
	}
}

// newResponse combines the results, of which at least one is a prediction.
func newResponse(rc *requestContext, results []imageResult) predictResponse {
	response := predictResponse{Predictions: entries(results)}
	for _, result := range results {
		if r := result.response; r != nil {
			response.Model, response.Version, response.Device = r.Model, r.Version, r.Device
			response.Timing.merge(r.Timing)
			response.Timing.mergeSteps(r.Steps)
		}
	}
	response.Timing.Total = millis(time.Since(rc.start))
	rc.version = response.Version
	return response
}

func entries(results []imageResult) []any {
	list := make([]any, len(results))
	for i, result := range results {
		if err := result.err; err != nil {
			list[i] = apierror.Body{Error: err.Message, Code: err.Code}
		} else {
			list[i] = result.response.Prediction
		}
	}
	return list
}
