package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"

	"fovea/internal/apierror"

	"github.com/gin-gonic/gin"
)

// Codes that only HTTP has; the others are package fault's.
const (
	routeNotFound    apierror.Code = "not_found"          // 404: no such route
	methodNotAllowed apierror.Code = "method_not_allowed" // 405: Allow says which are
	bodyTimeout      apierror.Code = "body_timeout"       // 408: the body did not arrive in time
	displaced        apierror.Code = "body_displaced"     // 429: the body lagged, and another request needed its slot
)

// statusClientGone is what logs and metrics say of a request whose client went away; nobody receives it.
const statusClientGone = 499

var statuses = map[apierror.Code]int{
	apierror.Malformed:         http.StatusBadRequest,
	apierror.InvalidParameter:  http.StatusBadRequest,
	apierror.ModelNotFound:     http.StatusNotFound,
	routeNotFound:              http.StatusNotFound,
	methodNotAllowed:           http.StatusMethodNotAllowed,
	bodyTimeout:                http.StatusRequestTimeout,
	displaced:                  http.StatusTooManyRequests,
	apierror.BodyTooLarge:      http.StatusRequestEntityTooLarge,
	apierror.ImageTooLarge:     http.StatusRequestEntityTooLarge,
	apierror.UnsupportedMedia:  http.StatusUnsupportedMediaType,
	apierror.UnsupportedFormat: http.StatusUnsupportedMediaType,
	apierror.Undecodable:       http.StatusUnprocessableEntity,
	apierror.AllFailed:         http.StatusUnprocessableEntity,
	apierror.QueueFull:         http.StatusTooManyRequests,
	apierror.Canceled:          statusClientGone,
	apierror.Internal:          http.StatusInternalServerError,
	apierror.NotReady:          http.StatusServiceUnavailable,
	apierror.Draining:          http.StatusServiceUnavailable,
	apierror.DeviceLost:        http.StatusServiceUnavailable,
	apierror.DeadlineExceeded:  http.StatusGatewayTimeout,
}

// status returns the HTTP status of a code; an unknown code is a fault of ours.
func status(code apierror.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// aboutImage says whether a fault lies in the image, so that the others of its request may be answered and
// sending the same one again cannot help.
func aboutImage(code apierror.Code) bool {
	switch code {
	case apierror.Undecodable, apierror.UnsupportedFormat, apierror.ImageTooLarge, apierror.Malformed, apierror.BodyTooLarge:
		return true
	}
	return false
}

// errorAnswer is the body of every error. Predictions is there only with all_failed.
type errorAnswer struct {
	Error       string        `json:"error"`
	Code        apierror.Code `json:"code"`
	RequestID   string        `json:"request_id,omitempty"`
	Predictions []entry       `json:"predictions,omitempty"`
}

// fail answers with err, which becomes an internal error if it isn't a fault. What is internal is logged here,
// and only here.
func (s *Server) fail(c *gin.Context, x *exchange, err error) {
	s.failWith(c, x, faultOf(err), nil)
}

func (s *Server) failWith(c *gin.Context, x *exchange, f *apierror.Error, entries []entry) {
	x.code = f.Code
	code := status(f.Code)
	switch f.Code {
	case bodyTimeout, displaced, apierror.Canceled:
		if c.Request.ProtoMajor == 1 { // on HTTP/2 only this stream has been spoilt
			c.Header("Connection", "close")
		}
	default:
		drain(c, x)
	}
	if code == statusClientGone {
		x.status = code
		c.Status(code) // which one sees that only stopped sending; without it net/http would say 200
		return
	}
	if f.Cause != nil && code >= http.StatusInternalServerError {
		s.log.Error("request failed", "request_id", x.id, "code", string(f.Code), "error", f.Error())
	}
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		c.Header("Retry-After", strconv.Itoa(retrySeconds(f)))
	}
	writeJSON(c, code, errorAnswer{f.Message, f.Code, x.id, entries})
}

// retrySeconds rounds up, since an earlier retry would fail again.
func retrySeconds(f *apierror.Error) int {
	return max(1, int(math.Ceil(f.RetryAfter.Seconds())))
}

// faultOf is fault.From for errors that may also be those of a context.
func faultOf(err error) *apierror.Error {
	var f *apierror.Error
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.DeadlineExceeded):
		return apierror.Wrap(apierror.DeadlineExceeded, err, "the request was not answered in time")
	case errors.Is(err, context.Canceled):
		return apierror.Wrap(apierror.Canceled, err, "the client went away")
	}
	return apierror.From(err)
}
