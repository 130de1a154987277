package httpserver

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"sync"

	"fovea/internal/apierror"
)

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

// WriteJSON sends v as the whole response. It panics, with nothing sent, when v cannot be encoded.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	e, _ := encoders.Get().(*encoder) // never another type
	defer encoders.Put(e)
	e.buffer.Reset()
	if err := e.json.Encode(v); err != nil {
		panic(err) // NaN or an infinity, or a type that is not for JSON
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(e.buffer.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(e.buffer.Bytes()) // fails only when the client has disconnected
}

// SetErrorHeaders sets Retry-After and WWW-Authenticate where the code of an API error has them.
func SetErrorHeaders(w http.ResponseWriter, err *apierror.Error) {
	if err.Code.Retry() == apierror.RetryLater {
		w.Header().Set("Retry-After", strconv.Itoa(err.RetrySeconds()))
	}
	if err.Code == apierror.Unauthenticated {
		w.Header().Set("WWW-Authenticate", `Bearer realm="fovea"`) // RFC 9110, section 15.5.2
	}
}

// WriteError sends an API error as the whole response. Predictions is nil, or with AllFailed the error of each image.
func WriteError(w http.ResponseWriter, err *apierror.Error, requestID string, predictions any) {
	SetErrorHeaders(w, err)
	WriteJSON(w, err.Code.Status(), apierror.Body{Error: err.Message, Code: err.Code, RequestID: requestID, Predictions: predictions})
}
