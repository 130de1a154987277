// Package grpcstatus relates API errors to the status codes of gRPC, and has the statuses and timeouts of calls for handlers of HTTP/2
// that answer them without a gRPC server.
package grpcstatus

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"google.golang.org/grpc/codes"

	"fovea/internal/apierror"
)

// Headers or trailers of a response that have the status.
const (
	Header        = "Grpc-Status"
	MessageHeader = "Grpc-Message"
)

// ContentType is that of calls, without the encoding of messages that may follow a plus sign.
const ContentType = "application/grpc"

// Of is the status of gRPC for the code of an API error.
func Of(code apierror.Code) codes.Code {
	switch code {
	case apierror.BodyTooLarge, apierror.QueueFull, apierror.BodyDisplaced:
		return codes.ResourceExhausted
	case apierror.DeadlineExceeded, apierror.BodyTimeout:
		return codes.DeadlineExceeded
	case apierror.Canceled:
		return codes.Canceled
	}
	switch code.Status() {
	case http.StatusUnauthorized:
		return codes.Unauthenticated
	case http.StatusForbidden:
		return codes.PermissionDenied
	case http.StatusNotFound:
		return codes.NotFound
	case http.StatusTooManyRequests:
		return codes.ResourceExhausted
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		return codes.Unavailable
	}
	if code.Status() < http.StatusInternalServerError {
		return codes.InvalidArgument
	}
	return codes.Internal
}

// statuses are the HTTP statuses that google/rpc/code.proto has for the codes.
var statuses = map[codes.Code]int{
	codes.OK:                 http.StatusOK,
	codes.Canceled:           apierror.StatusClientClosedRequest,
	codes.InvalidArgument:    http.StatusBadRequest,
	codes.DeadlineExceeded:   http.StatusGatewayTimeout,
	codes.NotFound:           http.StatusNotFound,
	codes.AlreadyExists:      http.StatusConflict,
	codes.PermissionDenied:   http.StatusForbidden,
	codes.ResourceExhausted:  http.StatusTooManyRequests,
	codes.FailedPrecondition: http.StatusBadRequest,
	codes.Aborted:            http.StatusConflict,
	codes.OutOfRange:         http.StatusBadRequest,
	codes.Unimplemented:      http.StatusNotImplemented,
	codes.Unavailable:        http.StatusServiceUnavailable,
	codes.Unauthenticated:    http.StatusUnauthorized,
}

// HTTP is the HTTP status for a status of gRPC, for logs and metrics. It is 500 for those that are an error of the server.
func HTTP(code codes.Code) int {
	if status, ok := statuses[code]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// Read returns the status in the headers or trailers of a response; false if they have none.
func Read(h http.Header) (codes.Code, bool) {
	text := h.Get(Header)
	if text == "" {
		return codes.Unknown, false
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return codes.Unknown, true
	}
	return codes.Code(n), true
}

// Set sets a status in headers, with a prefix of their names: http.TrailerPrefix, or none.
func Set(h http.Header, prefix string, code codes.Code, message string) {
	h.Set(prefix+Header, strconv.Itoa(int(code)))
	if message != "" {
		h.Set(prefix+MessageHeader, Encode(message))
	}
}

// Encode encodes a message as gRPC has it in headers: percent-encoded, with spaces.
func Encode(message string) string {
	return strings.ReplaceAll(url.QueryEscape(message), "+", "%20")
}

// Refuse ends a call with an error before anything was sent.
func Refuse(w http.ResponseWriter, err *apierror.Error) { End(w, Of(err.Code), err.Message) }

// End ends a call with a status before anything was sent. The headers are the whole response.
func End(w http.ResponseWriter, code codes.Code, message string) {
	w.Header().Set("Content-Type", ContentType)
	Set(w.Header(), "", code, message)
	w.WriteHeader(http.StatusOK)
}
