// Package apierror defines the API errors: each has a code, and a message for the client. Packages that can refuse a request
// return an *Error. One table has the HTTP status of each code, and whether a client may retry.
package apierror

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
)

// Error is an error that is sent to the client. Message is a sentence fragment in lower case that says what is wrong and what
// is allowed; it contains nothing internal.
type Error struct {
	Code       Code
	Message    string
	RetryAfter time.Duration // for codes with RetryLater; 0 means one second
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

// RetrySeconds is the value of Retry-After, at least 1: rounded up, since an earlier retry would fail again.
func (e *Error) RetrySeconds() int {
	return max(1, int(math.Ceil(e.RetryAfter.Seconds())))
}

// Body is the JSON body of an error response, and the error of one image among several.
type Body struct {
	Error       string `json:"error"`
	Code        Code   `json:"code"`
	RequestID   string `json:"request_id,omitempty"`  // not for one image
	Predictions any    `json:"predictions,omitempty"` // with AllFailed: the error of each image, in the request's order
}

// New returns an Error with a formatted message.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error that keeps its cause for the log.
func Wrap(code Code, cause error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), Cause: cause}
}

// TimeLimit is what the message of a DeadlineExceeded says instead of a duration, which only the server of the request knows.
const TimeLimit = "the time limit"

// From returns the Error in err's chain, else the one for a context's error, else an Internal one; err is the cause. It
// returns nil for a nil err.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return Wrap(DeadlineExceeded, err, "no response within "+TimeLimit)
	case errors.Is(err, context.Canceled):
		return Wrap(Canceled, err, "the client disconnected")
	}
	return Wrap(Internal, err, "internal error")
}

// Quote quotes a client's text, truncated and without control characters.
func Quote(s string) string {
	const maxLength = 64
	if len(s) > maxLength {
		return strconv.QuoteToASCII(s[:maxLength]) + "…"
	}
	return strconv.QuoteToASCII(s)
}
