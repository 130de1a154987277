// Package apierror holds the errors that a client of the API can be answered with, by code. Every package that can
// refuse one returns a *Error; package api turns its Code into an HTTP status and nothing else decides one.
package apierror

import (
	"errors"
	"fmt"
	"time"
)

// Code names a kind of fault. It is part of the HTTP contract (the "code" of an error answer).
type Code string

// The codes, with the HTTP status each one becomes.
const (
	Malformed         Code = "malformed"          // 400: the request is not what its content type says
	InvalidParameter  Code = "invalid_parameter"  // 400: a parameter is unknown or out of range
	ModelNotFound     Code = "model_not_found"    // 404: no such model or version
	BodyTooLarge      Code = "body_too_large"     // 413: more bytes than allowed
	ImageTooLarge     Code = "image_too_large"    // 413: more pixels, or more work to decode them, than allowed
	UnsupportedMedia  Code = "unsupported_media"  // 415: a content type or encoding that is not read
	UnsupportedFormat Code = "unsupported_format" // 415: bytes of no image format that is read
	Undecodable       Code = "undecodable"        // 422: an image that is broken or cut short
	AllFailed         Code = "all_failed"         // 422: no image of a request could be answered
	QueueFull         Code = "queue_full"         // 429: try again after RetryAfter
	NotReady          Code = "not_ready"          // 503: the model is not loaded or failed its self-test
	Draining          Code = "draining"           // 503: the server is shutting down
	DeviceLost        Code = "device_lost"        // 503: the device has failed; only a restart mends it
	DeadlineExceeded  Code = "deadline_exceeded"  // 504: no answer within the request's time
	Canceled          Code = "canceled"           // 499: the client went away; seen in logs and metrics only
	Internal          Code = "internal"           // 500: a fault of the server
)

// Error is an error that a client is told about. Message is a full sentence fragment in lower case that says
// what is wrong and what is allowed; it never holds anything internal.
type Error struct {
	Code       Code
	Message    string
	RetryAfter time.Duration // for QueueFull, NotReady and Draining; 0 means one second
	Cause      error         // logged, never sent; may be nil
}

// Error returns the message and, where there is one, the cause.
func (e *Error) Error() string {
	if e.Cause != nil {
		return e.Message + ": " + e.Cause.Error()
	}
	return e.Message
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// New makes an Error with a formatted message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap makes an Error that keeps its cause for the log.
func Wrap(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// From finds the Error in err's chain, or makes an Internal one of it. It returns nil for a nil err.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Wrap(Internal, err, "internal error")
}
