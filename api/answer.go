package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"fovea/fault"
	"fovea/inference"
	"fovea/postprocess"

	"github.com/gin-gonic/gin"
)

// answer is the body of a request for predictions that was answered, wholly or in part.
type answer struct {
	Model       string  `json:"model"`
	Version     string  `json:"version"`
	Device      string  `json:"device"`
	Predictions []entry `json:"predictions"` // in the order of the request
	Timing      timing  `json:"timing"`
}

// entry is one picture's answer: what the model says, or what is wrong with the picture.
type entry struct {
	prediction postprocess.Prediction
	fault      *fault.Fault
}

// MarshalJSON writes whichever of the two there is.
func (e entry) MarshalJSON() ([]byte, error) {
	if e.fault != nil {
		return json.Marshal(errorAnswer{Error: e.fault.Message, Code: e.fault.Code})
	}
	return json.Marshal(e.prediction)
}

// timing is in milliseconds. With several pictures, each stage is that of the picture it took longest for; total
// is from the request's headers to its answer and so holds the arrival of the body.
type timing struct {
	Queue       millis `json:"queue"`
	Decode      millis `json:"decode"`
	Preprocess  millis `json:"preprocess"`
	Infer       millis `json:"infer"`
	Postprocess millis `json:"postprocess"`
	Total       millis `json:"total"`
}

// millis writes a duration as milliseconds with three decimals.
type millis time.Duration

// MarshalJSON implements json.Marshaler.
func (m millis) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Duration(m).Microseconds())/1000, 'f', -1, 64), nil
}

func (t *timing) stretch(by inference.Timing) {
	t.Queue = max(t.Queue, millis(by.Queue))
	t.Decode = max(t.Decode, millis(by.Decode))
	t.Preprocess = max(t.Preprocess, millis(by.Preprocess))
	t.Infer = max(t.Infer, millis(by.Infer))
	t.Postprocess = max(t.Postprocess, millis(by.Postprocess))
}

// answerOf gathers the answers of at least one answered picture.
func answerOf(x *exchange, answers []answered) answer {
	a := answer{Predictions: entries(answers)}
	for _, one := range answers {
		if r := one.response; r != nil {
			a.Model, a.Version, a.Device = r.Model, r.Version, r.Device
			a.Timing.stretch(r.Timing)
		}
	}
	a.Timing.Total = millis(time.Since(x.start))
	x.version = a.Version
	return a
}

func entries(answers []answered) []entry {
	list := make([]entry, len(answers))
	for i, a := range answers {
		if list[i].fault = a.fault; a.response != nil {
			list[i].prediction = a.response.Prediction
		}
	}
	return list
}

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.json = json.NewEncoder(&e.buffer)
	e.json.SetEscapeHTML(false)
	return e
}}

type encoder struct {
	buffer bytes.Buffer
	json   *json.Encoder
}

// writeJSON sends v, whole or, when it cannot be encoded, not at all.
func writeJSON(c *gin.Context, status int, v any) {
	e, _ := encoders.Get().(*encoder) // never another type: New makes them
	defer encoders.Put(e)
	e.buffer.Reset()
	if err := e.json.Encode(v); err != nil {
		panic(err) // only a number that JSON has not, or a type of ours
	}
	header := c.Writer.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(e.buffer.Len()))
	c.Writer.WriteHeader(status)
	_, _ = c.Writer.Write(e.buffer.Bytes()) // a client that is gone needs no answer
}
