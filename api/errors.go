package api

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"

	"fovea/fault"

	"github.com/gin-gonic/gin"
)

// Codes that only HTTP has; the others are package fault's.
const (
	routeNotFound    fault.Code = "not_found"          // 404: no such route
	methodNotAllowed fault.Code = "method_not_allowed" // 405: Allow says which are
	bodyTimeout      fault.Code = "body_timeout"       // 408: the body did not arrive in time
	displaced        fault.Code = "body_displaced"     // 429: the body lagged, and another request needed its slot
)

// statusClientGone is what logs and metrics say of a request whose client went away; nobody receives it.
const statusClientGone = 499

var statuses = map[fault.Code]int{
	fault.Malformed:         http.StatusBadRequest,
	fault.InvalidParameter:  http.StatusBadRequest,
	fault.ModelNotFound:     http.StatusNotFound,
	routeNotFound:           http.StatusNotFound,
	methodNotAllowed:        http.StatusMethodNotAllowed,
	bodyTimeout:             http.StatusRequestTimeout,
	displaced:               http.StatusTooManyRequests,
	fault.BodyTooLarge:      http.StatusRequestEntityTooLarge,
	fault.ImageTooLarge:     http.StatusRequestEntityTooLarge,
	fault.UnsupportedMedia:  http.StatusUnsupportedMediaType,
	fault.UnsupportedFormat: http.StatusUnsupportedMediaType,
	fault.Undecodable:       http.StatusUnprocessableEntity,
	fault.AllFailed:         http.StatusUnprocessableEntity,
	fault.QueueFull:         http.StatusTooManyRequests,
	fault.Canceled:          statusClientGone,
	fault.Internal:          http.StatusInternalServerError,
	fault.NotReady:          http.StatusServiceUnavailable,
	fault.Draining:          http.StatusServiceUnavailable,
	fault.DeviceLost:        http.StatusServiceUnavailable,
	fault.DeadlineExceeded:  http.StatusGatewayTimeout,
}

// status returns the HTTP status of a code; an unknown code is a fault of ours.
func status(code fault.Code) int {
	if s, ok := statuses[code]; ok {
		return s
	}
	return http.StatusInternalServerError
}

// aboutImage says whether a fault lies in the image, so that the others of its request may be answered and
// sending the same one again cannot help.
func aboutImage(code fault.Code) bool {
	switch code {
	case fault.Undecodable, fault.UnsupportedFormat, fault.ImageTooLarge, fault.Malformed, fault.BodyTooLarge:
		return true
	}
	return false
}

// errorAnswer is the body of every error. Predictions is there only with all_failed.
type errorAnswer struct {
	Error       string     `json:"error"`
	Code        fault.Code `json:"code"`
	RequestID   string     `json:"request_id,omitempty"`
	Predictions []entry    `json:"predictions,omitempty"`
}

// fail answers with err, which becomes an internal error if it isn't a fault. What is internal is logged here,
// and only here.
func (s *Server) fail(c *gin.Context, x *exchange, err error) {
	s.failWith(c, x, faultOf(err), nil)
}

func (s *Server) failWith(c *gin.Context, x *exchange, f *fault.Fault, entries []entry) {
	x.code = f.Code
	code := status(f.Code)
	switch f.Code {
	case bodyTimeout, displaced, fault.Canceled:
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
func retrySeconds(f *fault.Fault) int {
	return max(1, int(math.Ceil(f.RetryAfter.Seconds())))
}

// faultOf is fault.From for errors that may also be those of a context.
func faultOf(err error) *fault.Fault {
	var f *fault.Fault
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.DeadlineExceeded):
		return fault.Wrap(fault.DeadlineExceeded, err, "the request was not answered in time")
	case errors.Is(err, context.Canceled):
		return fault.Wrap(fault.Canceled, err, "the client went away")
	}
	return fault.From(err)
}
