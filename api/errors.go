package api

import (
	"context"
	"errors"
	"net/http"

	"fovea/internal/apierror"
	"fovea/internal/httpserver"
	"fovea/internal/panics"

	"github.com/gin-gonic/gin"
)

// fail responds with err, which becomes an internal error unless it is an API error.
func (s *Server) fail(c *gin.Context, rc *requestContext, err error) {
	s.failWith(c, rc, apiErrorOf(err), nil)
}

// failWith responds with an error, and with AllFailed the error of each image. Causes of internal errors are logged here,
// and only here.
func (s *Server) failWith(c *gin.Context, rc *requestContext, err *apierror.Error, predictions any) {
	rc.code = err.Code
	status := err.Code.Status()
	switch err.Code {
	case apierror.BodyTimeout, apierror.BodyDisplaced, apierror.Canceled:
		if c.Request.ProtoMajor == 1 { // on HTTP/2 only this stream ends
			c.Header("Connection", "close")
		}
	default:
		drain(c, rc)
	}
	if err.Code == apierror.Canceled {
		rc.status = status
		c.Status(status) // a client that has only stopped sending gets it; net/http would send 200
		return
	}
	if err.Cause != nil && status >= http.StatusInternalServerError {
		log := s.log.With("request_id", rc.id, "code", string(err.Code))
		if stack := panics.Stack(err); stack != "" {
			log = log.With("stack", stack)
		}
		log.Error("request failed", "error", err.Error())
	}
	httpserver.WriteError(c.Writer, err, rc.id, predictions)
}

// apiErrorOf is apierror.From for errors that may also be those of a context.
func apiErrorOf(err error) *apierror.Error {
	if apiErr, ok := errors.AsType[*apierror.Error](err); ok {
		return apiErr
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return apierror.Wrap(apierror.DeadlineExceeded, err, "no response within the request's time")
	case errors.Is(err, context.Canceled):
		return apierror.Wrap(apierror.Canceled, err, "the client disconnected")
	}
	return apierror.From(err)
}
