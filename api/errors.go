package api

import (
	"context"
	"errors"
	"net/http"

	"fovea/internal/apierror"
	"fovea/internal/httpserver"

	"github.com/gin-gonic/gin"
)

// fail responds with err, which becomes an internal error unless it is an API error. Causes of internal errors are
// logged here, and only here.
func (s *Server) fail(c *gin.Context, x *exchange, err error) {
	s.failWith(c, x, apiErrorOf(err), nil)
}

func (s *Server) failWith(c *gin.Context, x *exchange, apiErr *apierror.Error, predictions any) {
	x.code = apiErr.Code
	status := apiErr.Code.Status()
	switch apiErr.Code {
	case apierror.BodyTimeout, apierror.BodyDisplaced, apierror.Canceled:
		if c.Request.ProtoMajor == 1 { // on HTTP/2 only this stream has been spoilt
			c.Header("Connection", "close")
		}
	default:
		drain(c, x)
	}
	if apiErr.Code == apierror.Canceled {
		x.status = status
		c.Status(status) // which one sees that only stopped sending; without it net/http would say 200
		return
	}
	if apiErr.Cause != nil && status >= http.StatusInternalServerError {
		s.log.Error("request failed", "request_id", x.id, "code", string(apiErr.Code), "error", apiErr.Error())
	}
	httpserver.WriteError(c.Writer, apiErr, x.id, predictions)
}

// apiErrorOf is apierror.From for errors that may also be those of a context.
func apiErrorOf(err error) *apierror.Error {
	var apiErr *apierror.Error
	switch {
	case errors.As(err, &apiErr):
		return apiErr
	case errors.Is(err, context.DeadlineExceeded):
		return apierror.Wrap(apierror.DeadlineExceeded, err, "the request was not answered in time")
	case errors.Is(err, context.Canceled):
		return apierror.Wrap(apierror.Canceled, err, "the client disconnected")
	}
	return apierror.From(err)
}
